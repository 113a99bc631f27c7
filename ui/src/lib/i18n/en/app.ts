export const app = {
  screens: "Screens",
  chat: "Chat",
  models: "Models",
  settings: "Settings",
  shortcut: (name: string, digit: string) => `${name} (Ctrl+${digit})`,
  newConversation: "New conversation",
  newConversationHint: "New conversation (Ctrl+N)",
  offline: "Offline",
  offlineFull: ": nothing leaves this computer",
  offlineHint: "Sotto has no network code: questions, files and answers stay on this computer.",
  dropToAttach: "Drop pictures or sound to attach them",
};
