export const machine = {
  memory: "Memory",
  summary: (own: string, available: string) => `Sotto ${own} · ${available} free`,
  resident: "Sotto now",
  anonymous: "its own",
  anonymousHint: "answers being written, caches, the program's data",
  fileBacked: "parts of files",
  fileBackedHint: "of the model and the program; the system takes them back when it needs the room",
  others: "other programs and the system",
  available: "still available",
  ofTotal: (total: string) => `of ${total}`,
  pageApart: "The window itself is drawn by processes of the system, which are counted among the other programs.",

  libraryFailed: "Conversations cannot be saved at the moment.",
  tryAgain: "Try again",
};
