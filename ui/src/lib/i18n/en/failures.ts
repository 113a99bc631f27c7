/** For languages that the Rust side does not write: what a code means and what to do, before the details. */
export const failures = {
  details: "Details",
  modelMissing: "The model is not there. Choose one on the Models screen.",
  modelBroken: "The model's files are damaged or incomplete. Get them once more, or choose another model.",
  unsupported: "This model or file is of a kind that Sotto cannot use. Choose another one.",
  inputUnreadable: "The file cannot be read. Check it in another program, or choose another one.",
  tooLong: "This is more than the model can take in at once. Make it shorter, or begin a new conversation.",
  storage: "Sotto cannot read or write its data. Check the disk, then try again.",
  gone: "This has been deleted. Choose something else.",
  busy: "Sotto is still busy with something else. Try again in a moment.",
  outOfMemory: "There is not enough memory. Close other programs, or choose a smaller model.",
  cancelled: "It was cancelled.",
  internal: "Sotto made a mistake. Try again; if it happens again, restart Sotto.",
};
