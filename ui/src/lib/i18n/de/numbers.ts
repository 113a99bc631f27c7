export const numbers = {
  thousand: (n: string) => `${n} Tausend`,
  million: (n: string) => `${n} Millionen`,
  billion: (n: string) => `${n} Milliarden`,
  perSecond: (n: string) => `${n} pro Sekunde`,
};
