/** What is stored, without kinds of which there is nothing. */
function stored(threads: number, transcripts: number): string {
  const parts = [
    threads === 1 ? "1 Unterhaltung" : `${threads} Unterhaltungen`,
    transcripts === 1 ? "1 Transkript" : `${transcripts} Transkripte`,
  ];
  if (transcripts === 0) parts.pop();
  else if (threads === 0) parts.shift();
  return parts.join(" und ");
}

export const settings = {
  salvaged: (n: number) =>
    n === 1
      ? "Die Datei mit den Einstellungen war beschädigt: Eine Einstellung war nicht lesbar und hat wieder ihren Standardwert."
      : `Die Datei mit den Einstellungen war beschädigt: ${n} Einstellungen waren nicht lesbar und haben wieder ihre Standardwerte.`,
  salvagedKept: (path: string) => `Die beschädigte Datei liegt jetzt unter ${path}.`,
  dismiss: "In Ordnung",

  appearance: "Darstellung",
  theme: "Farben",
  themeSystem: "Wie das System",
  themeLight: "Hell",
  themeDark: "Dunkel",
  textSize: "Schriftgröße",
  small: "Klein",
  normal: "Normal",
  large: "Groß",
  larger: "Größer",
  largest: "Riesig",
  language: "Sprache",
  languageSystem: "Wie das System",

  answers: "Antworten",
  style: "Stil der Antworten",
  precise: "Genau",
  preciseHint: "Bleibt bei den wahrscheinlichsten Wörtern. Dieselbe Frage bekommt dieselbe Antwort.",
  balanced: "Ausgewogen",
  balancedHint: "Was die Hersteller des Modells empfehlen. Passt für das meiste.",
  creative: "Kreativ",
  creativeHint: "Nimmt auch weniger wahrscheinliche Wörter: für Ideen, Geschichten und Namen. Prüfe Fakten doppelt.",
  custom: "Eigene Werte",
  customHint: "Du stellst die Zahlen unten selbst ein.",
  advanced: "Für Fortgeschrittene",
  advancedHint: "Ein leeres Feld nimmt den Wert des Modells.",
  temperature: "Temperatur",
  temperatureHint: "0 nimmt immer das wahrscheinlichste Wort; höher wird es überraschender. 0 bis 2.",
  topK: "Top k",
  topKHint: "Unter wie vielen der wahrscheinlichsten Wörter gewählt wird; 0 heißt unter allen.",
  topP: "Top p",
  topPHint: "Gewählt wird unter den wahrscheinlichsten Wörtern, die zusammen diesen Anteil erreichen. 0 bis 1.",
  minP: "Min p",
  minPHint: "Wörter unter diesem Anteil der Chance des wahrscheinlichsten fallen weg. 0 bis 1.",
  repetitionPenalty: "Abzug für Wiederholungen",
  repetitionPenaltyHint: "Über 1 werden schon benutzte Wörter unwahrscheinlicher. 1 bis 2.",
  maxTokens: "Längste Antwort, in Token",
  maxTokensHint: "Dort werden Antworten abgeschnitten, bei jedem Stil. Ein Token ist etwa drei Viertel eines Worts.",
  modelsOwn: "wie das Modell",
  noLimit: "ohne Grenze",
  outOfRange: (low: string, high: string) => `Bitte gib eine Zahl von ${low} bis ${high} ein.`,

  writing: "Schreiben und Fenster",
  sendWith: "Eine Frage wird gesendet mit",
  sendEnter: "Eingabetaste",
  sendCtrlEnter: "Strg+Eingabe",
  sendEnterHint: "Umschalt+Eingabe beginnt eine neue Zeile.",
  sendCtrlEnterHint: "Die Eingabetaste beginnt eine neue Zeile.",
  closeToTray: "Im Infobereich weiterlaufen, wenn das Fenster geschlossen wird",
  closeToTrayHint:
    "Das Modell bleibt bereit. Das Fenster kommt zurück über das Symbol im Infobereich oder wenn du Sotto noch einmal startest.",
  memoryLimit: "Höchstens so viel Speicher für das Modell, in Megabyte",
  memoryLimitHint: "Sotto lässt das Modell so groß laufen, wie es passt, und ändert das im Betrieb.",
  memoryFree: "was frei ist",
  noTray: "Dieser Desktop hat keinen Infobereich, den Sotto benutzen kann.",

  data: "Deine Daten",
  dataWhere: "Unterhaltungen und ihre Dateien liegen in diesem Ordner und nirgends sonst:",
  dataSize: (threads: number, transcripts: number, size: string) => `${stored(threads, transcripts)}, ${size} auf dem Laufwerk`,
  showFolder: "Ordner zeigen",
  exportAll: "Alles exportieren …",
  exportTitle: "Ordner für den Export wählen",
  exported: (n: number, folder: string) =>
    `${n} ${n === 1 ? "Unterhaltung steht" : "Unterhaltungen stehen"} jetzt in ${folder}.`,
  importFolder: "Ordner importieren …",
  importFile: "Datei importieren …",
  importFolderTitle: "Ordner eines Exports wählen",
  importFileTitle: "Exportierte Unterhaltung wählen",
  exportedFiles: "Exportierte Unterhaltungen",
  imported: (added: number, known: number) =>
    `${added} ${added === 1 ? "Unterhaltung" : "Unterhaltungen"} hinzugefügt` +
    (known > 0 ? `; ${known} ${known === 1 ? "war" : "waren"} schon hier.` : "."),
  eraseAll: "Alles löschen …",
  eraseQuestion: (threads: number, transcripts: number) => `${stored(threads, transcripts)} löschen?`,
  eraseWarning:
    "Sie werden samt Bildern und Tönen auf dem Laufwerk überschrieben. Das lässt sich nicht rückgängig machen.",
  erase: "Alles löschen",
  keep: "Behalten",
  erased: "Alle Unterhaltungen und Transkripte sind gelöscht.",
  working: "Einen Moment …",

  shortcuts: "Tastenkürzel",
  ctrl: "Strg",
  shift: "Umschalt",
  enter: "Eingabe",
  escape: "Esc",
  keySend: "Frage senden",
  keyBreak: "Neue Zeile beginnen",
  keyStop: "Antwort anhalten",
  keyNew: "Neue Unterhaltung",
  keyFind: "Eine Unterhaltung suchen",
  keyAttach: "Dateien anhängen",
  keyNote: "Sprachnotiz aufnehmen, beenden",
  keyScreens: "Untertitel, Bibliothek, Chat, Modelle, Einstellungen",
  keySettings: "Einstellungen",
  keyOpenFolder: "Ordner eines Modells öffnen",
  keyOpenFile: "Modelldatei öffnen",
  keyTextSize: "Schrift größer, kleiner, normal",
};
