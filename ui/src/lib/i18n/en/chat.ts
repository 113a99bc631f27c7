export const chat = {
  attachTitle: "Attach pictures or sound",
};
