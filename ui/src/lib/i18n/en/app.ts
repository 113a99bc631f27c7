export const app = {
  screens: "Screens",
  captions: "Captions",
  library: "Library",
  chat: "Chat",
  models: "Models",
  settings: "Settings",
  shortcut: (name: string, digit: string) => `${name} (Ctrl+${digit})`,
  newConversation: "New conversation",
  newConversationHint: "New conversation (Ctrl+N)",
  offline: "Offline",
  offlineFull: ": nothing leaves this computer",
  offlineHint: "Sotto has no network code: questions, files and answers stay on this computer.",
  dropToAttach: "Drop files to attach them",
  windowFailed:
    "Sotto could not draw its window: a mistake in Sotto. Your conversations are on the disk. If it happens again, close Sotto and start it anew.",
  showAgain: "Show it again",
};
