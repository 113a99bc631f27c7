export const numbers = {
  thousand: (n: string) => `${n} thousand`,
  million: (n: string) => `${n} million`,
  billion: (n: string) => `${n} billion`,
  perSecond: (n: string) => `${n} per second`,
};
