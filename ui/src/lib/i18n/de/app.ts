export const app = {
  screens: "Seiten",
  chat: "Chat",
  models: "Modelle",
  settings: "Einstellungen",
  shortcut: (name: string, digit: string) => `${name} (Strg+${digit})`,
  newConversation: "Neue Unterhaltung",
  newConversationHint: "Neue Unterhaltung (Strg+N)",
  offline: "Offline",
  offlineFull: ": nichts verlässt diesen Computer",
  offlineHint: "Sotto hat keinen Netzwerkcode: Fragen, Dateien und Antworten bleiben auf diesem Computer.",
  dropToAttach: "Bilder oder Ton hier ablegen, um sie anzuhängen",
};
