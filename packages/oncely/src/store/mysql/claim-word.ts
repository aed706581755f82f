// Words of the claim procedure that are no answers yet: what they mean is found out by another look.

/** Whether another transaction holds the record. */
export function isBusy(line: string): boolean {
  return line.startsWith('busy ')
}

/** The attempt of a running record bound to a transaction, this one or one that was committed. */
export function boundAttempt(line: string): string | undefined {
  return line.startsWith('bound ') ? line.split(' ')[2] : undefined
}
