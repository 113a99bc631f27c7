export const models = {
  firstLead: "Choose a Gemma 3n model on this computer to begin.",
  chooseFolder: "Choose a folder",
  chooseFile: "Choose a GGUF file",
  tryDemo: "Try the demo",
  demoHint:
    "The demo model comes with Sotto and is tiny. It writes down short English office sentences, translates them into " +
    "German, Spanish and French, answers questions on a short note and tells what simple pictures show. It knows nothing " +
    "else, and it makes mistakes.",
  opensSoon: "The model is being opened. You can write your question already.",
  model: "Model",
  none: "No model is open",
  failed: "The model could not be opened",
  opening: "Opening the model",
  lookingAtFiles: "looking at the files",
  readingWeights: "reading weights",
  cancel: "Cancel",
  cancelling: "Cancelling…",
  change: "Change model",
  chooseAnother: "Choose another",
  folder: "A folder…",
  file: "A GGUF file…",
  close: "Close this model",
  text: "text",
  vision: "vision",
  audio: "audio",
  partMissing: ": not in this model",
  submodelHint: (layers: string, effective: string, all: string) =>
    `${layers} layers, ${effective} effective of ${all} parameters`,
  facts: (context: string, size: string, format: string) => `${context} tokens of context · ${size} · ${format}`,
  pickFolderTitle: "Choose the folder of a Gemma 3n model",
  pickFileTitle: "Choose a GGUF file",
  ggufFiles: "GGUF models",
};
