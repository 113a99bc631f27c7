//! What a window or the command line may ask for.
