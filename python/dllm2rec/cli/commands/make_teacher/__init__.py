"""`dllm2rec teacher embed` and its siblings: commands that make a teacher, or ask for one."""
