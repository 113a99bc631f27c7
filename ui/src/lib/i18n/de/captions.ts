export const captions = {
  noModel: "Untertitel brauchen ein Modell, das hören kann, und keines ist offen.",
  noSound: "Das offene Modell kann nicht hören: Untertitel brauchen eines, das es kann.",
  chooseModel: "Modell wählen",
  opensSoon: "Das Modell wird geöffnet. Gleich können die Untertitel beginnen.",

  source: "Zuhören bei",
  microphone: "Mikrofon",
  system: "Ton dieses Computers",
  both: "Beides",
  spoken: "Gesprochene Sprache",
  findOut: "Das Modell erkennt sie",
  translate: "Übersetzen in",
  noTranslation: "Keine Übersetzung",
  keepSound: "Ton aufheben",
  keepSoundHint: "Dann lässt er sich beim Transkript noch einmal anhören. Sonst wird er gelöscht, sobald er geschrieben ist.",

  start: "Untertitel starten",
  stop: "Anhalten",
  starting: "Das Gerät wird geöffnet …",
  finishing: (left: string) => `Der Ton ist zu Ende; ${left} davon sind noch zu schreiben.`,
  finishingEnd: "Der Ton ist zu Ende; die letzten Worte werden geschrieben.",
  leave: "Den Rest später schreiben",
  elapsed: "Länge des Tons",
  mark: "Diesen Moment markieren",
  marked: (time: string) => `Bei ${time} markiert`,
  showTranscript: "Transkript zeigen",
  title: (when: string) => `Untertitel, ${when}`,

  me: "Ich",
  others: "Andere",
  file: "Datei",
  level: (channel: string) => `Lautstärke: ${channel}`,
  waiting: "warten auf Ton",

  lines: "Untertitel",
  said: (channel: string, text: string) => `${channel}: ${text}`,
  listening: "Sotto hört zu: Hier erscheinen Untertitel, sobald jemand spricht.",
  empty: "Starte die Untertitel, und hier erscheint, was gesagt wird.",
  tentative: "Wörter, die sich noch ändern können, stehen kursiv und gepunktet.",
  unclear: "Unklar",
  reasons: {
    loop: "Das Modell hat sich wiederholt.",
    too_much: "Das Modell hat mehr geschrieben, als man in dieser Zeit sagen kann.",
    chatter: "Das Modell hat geantwortet, statt mitzuschreiben.",
    wrong_language: "Das Modell hat in einer anderen Sprache geschrieben.",
  },
  nothingUnderstood: "Hier war nichts zu verstehen.",
  jump: "Zum Jetzt springen",

  behind: (by: string) => `Die Untertitel hängen ${by} hinterher.`,
  longerSteps: "Dieser Computer ist ausgelastet: Wörter kommen in größeren Schritten.",
  finalsOnly: "Dieser Computer ist ausgelastet: Wörter kommen am Ende jedes Satzes.",
  translateLater:
    "Dieser Computer ist ausgelastet: Übersetzungen kommen, wenn Zeit ist, spätestens nach dem Anhalten.",
  caughtUp: "Die Untertitel kommen wieder mit.",
  deviceLost: (channel: string, device: string) =>
    `${channel}: ${device} ist weg. Schließ es an oder wähle ein anderes in den Toneinstellungen des Systems: Sotto macht damit weiter.`,
  silent: (channel: string) =>
    `${channel}: Es kommt nur Stille an. Schau, ob der Ton ausgeschaltet ist und ob das System Sotto hören lässt.`,
  soundLost: (channel: string, length: string) =>
    `${channel}: ${length} Ton gingen verloren, weil dieser Computer ausgelastet war. Schließ andere Programme, wenn das so bleibt.`,
  notSaved: "Die Festplatte nimmt gerade nichts an. Schaff etwas Platz: Bis dahin behält Sotto alles im Speicher.",
  fileDamaged: "Die Datei ist beschädigt: Der Rest fehlt.",
  modelFailed:
    "Das Modell ist ausgefallen. Der Ton wird weiter aufgenommen und lässt sich später in der Bibliothek schreiben.",
  ended: "Die Untertitel sind zu Ende.",
  dismiss: "In Ordnung",
};
