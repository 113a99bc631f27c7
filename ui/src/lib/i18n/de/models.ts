export const models = {
  firstLead: "Wähle zum Anfang ein Gemma-3n-Modell auf diesem Computer.",
  chooseFolder: "Ordner wählen",
  chooseFile: "GGUF-Datei wählen",
  tryDemo: "Demo ausprobieren",
  demoHint:
    "Das Demo-Modell ist bei Sotto dabei und winzig. Es schreibt kurze englische Sätze aus dem Büro auf, übersetzt sie ins " +
    "Deutsche, Spanische und Französische, beantwortet Fragen zu einer kurzen Notiz und sagt, was einfache Bilder zeigen. " +
    "Mehr weiß es nicht, und es macht Fehler.",
  opensSoon: "Das Modell wird gerade geöffnet. Deine Frage kannst du schon schreiben.",
  model: "Modell",
  none: "Kein Modell geöffnet",
  failed: "Das Modell ließ sich nicht öffnen",
  opening: "Das Modell wird geöffnet",
  lookingAtFiles: "Dateien werden angesehen",
  readingWeights: "Gewichte werden gelesen",
  cancel: "Abbrechen",
  cancelling: "Wird abgebrochen …",
  change: "Modell wechseln",
  chooseAnother: "Anderes wählen",
  folder: "Ein Ordner …",
  file: "Eine GGUF-Datei …",
  close: "Dieses Modell schließen",
  text: "Text",
  vision: "Bild",
  audio: "Ton",
  partMissing: ": nicht in diesem Modell",
  submodelHint: (layers: string, effective: string, all: string) =>
    `${layers} Schichten, ${effective} wirksame von ${all} Parametern`,
  facts: (context: string, size: string, format: string) => `${context} Token Kontext · ${size} · ${format}`,
  pickFolderTitle: "Ordner eines Gemma-3n-Modells wählen",
  pickFileTitle: "GGUF-Datei wählen",
  ggufFiles: "GGUF-Modelle",
};
