export const failures = {
  details: "Einzelheiten",
  modelMissing: "Das Modell ist nicht da. Wähle eines auf der Seite „Modelle“.",
  modelBroken:
    "Die Dateien des Modells sind beschädigt oder unvollständig. Besorge sie noch einmal oder wähle ein anderes Modell.",
  unsupported: "Mit dieser Art von Modell oder Datei kann Sotto nichts anfangen. Wähle etwas anderes.",
  inputUnreadable: "Die Datei lässt sich nicht lesen. Prüfe sie in einem anderen Programm oder wähle eine andere.",
  tooLong: "Das ist mehr, als das Modell auf einmal aufnehmen kann. Kürze es oder beginne eine neue Unterhaltung.",
  storage: "Sotto kann seine Daten nicht lesen oder schreiben. Prüfe das Laufwerk und versuche es noch einmal.",
  gone: "Das wurde gelöscht. Wähle etwas anderes.",
  busy: "Sotto ist noch mit etwas anderem beschäftigt. Versuche es gleich noch einmal.",
  outOfMemory: "Der Arbeitsspeicher reicht nicht. Schließe andere Programme oder wähle ein kleineres Modell.",
  cancelled: "Es wurde abgebrochen.",
  internal: "Sotto hat einen Fehler gemacht. Versuche es noch einmal; wenn es wieder passiert, starte Sotto neu.",
};
