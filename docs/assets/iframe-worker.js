/* Browsers refuse web workers to pages opened from disk. There, search runs in a hidden frame that
 * offers the same messages: `postMessage` both ways, and `importScripts` as a promise. */
(function () {
  "use strict";
  if (location.protocol !== "file:") return;

  const PRELUDE = `
    window.importScripts = (...urls) => urls.reduce((before, url) => before.then(() =>
      new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.onload = resolve;
        script.onerror = () => reject(new Error("cannot load " + url));
        script.src = url;
        document.head.appendChild(script);
      })), Promise.resolve());
    window.postMessage = (data) => window.parent.postMessage(data, "*");
  `;

  class IFrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      this.frame.contentDocument.open();
      this.frame.contentDocument.write(
        `<!doctype html><html><head></head><body><script>${PRELUDE}</scr` +
          `ipt><script src="${url}"></scr` + `ipt></body></html>`,
      );
      this.frame.contentDocument.close();
      this.receive = (event) => {
        if (event.source !== this.frame.contentWindow) return;
        const message = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(message);
        if (this.onmessage) this.onmessage(message);
      };
      window.addEventListener("message", this.receive);
      this.loaded = new Promise((resolve) => this.frame.addEventListener("load", resolve));
    }

    postMessage(data) {
      const deliver = () =>
        this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
      this.loaded.then(deliver);
    }

    terminate() {
      window.removeEventListener("message", this.receive);
      this.frame.remove();
    }
  }

  window.IFrameWorker = IFrameWorker;
  window.Worker = IFrameWorker;
})();
