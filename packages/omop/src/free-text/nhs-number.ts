/** The NHS number (NHS Data Dictionary, NHS NUMBER): ten digits, the last a check digit by modulus 11. */

export const NHS_NUMBER_LENGTH = 10;

/** `digits`: ten of them, without anything between. */
export function isNhsNumber(digits: string): boolean {
  if (!/^\d{10}$/.test(digits)) return false;
  let sum = 0;
  for (let index = 0; index < NHS_NUMBER_LENGTH - 1; index += 1)
    sum += Number(digits[index]) * (NHS_NUMBER_LENGTH - index);
  return (11 - (sum % 11)) % 11 === Number(digits[NHS_NUMBER_LENGTH - 1]);
}
