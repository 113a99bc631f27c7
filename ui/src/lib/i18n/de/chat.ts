export const chat = {
  attachTitle: "Bilder oder Ton anhängen",
};
