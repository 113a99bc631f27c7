//! Conversations with a resident model.
