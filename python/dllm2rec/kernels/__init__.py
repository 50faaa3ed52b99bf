"""Everything that needs a GPU's compiler. It is imported only beside CUDA."""
