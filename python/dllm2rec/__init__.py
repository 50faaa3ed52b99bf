"""dllm2rec: distil a large language model's recommendations into a small sequential model."""
