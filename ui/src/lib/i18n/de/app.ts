export const app = {
  screens: "Seiten",
  captions: "Untertitel",
  library: "Bibliothek",
  chat: "Chat",
  models: "Modelle",
  settings: "Einstellungen",
  shortcut: (name: string, digit: string) => `${name} (Strg+${digit})`,
  newConversation: "Neue Unterhaltung",
  newConversationHint: "Neue Unterhaltung (Strg+N)",
  offline: "Offline",
  offlineFull: ": nichts verlässt diesen Computer",
  offlineHint: "Sotto hat keinen Netzwerkcode: Fragen, Dateien und Antworten bleiben auf diesem Computer.",
  dropToAttach: "Dateien hier ablegen, um sie anzuhängen",
  windowFailed:
    "Sotto konnte sein Fenster nicht zeichnen: ein Fehler in Sotto. Deine Unterhaltungen sind auf der Festplatte. Passiert es noch einmal, schließe Sotto und starte es neu.",
  showAgain: "Noch einmal zeigen",
};
