export const machine = {
  memory: "Arbeitsspeicher",
  summary: (own: string, available: string) => `Sotto ${own} · ${available} frei`,
  resident: "Sotto jetzt",
  anonymous: "Eigenes",
  anonymousHint: "entstehende Antworten, Zwischenspeicher, Daten des Programms",
  fileBacked: "Teile von Dateien",
  fileBackedHint: "des Modells und des Programms; das System nimmt sie zurück, wenn es den Platz braucht",
  others: "andere Programme und das System",
  available: "noch verfügbar",
  ofTotal: (total: string) => `von ${total}`,
  pageApart: "Das Fenster selbst zeichnen Prozesse des Systems; sie zählen zu den anderen Programmen.",

  libraryFailed: "Unterhaltungen können gerade nicht gespeichert werden.",
  tryAgain: "Noch einmal versuchen",
};
