//! Model files: one set of tensor names over Hugging Face folders and GGUF.
