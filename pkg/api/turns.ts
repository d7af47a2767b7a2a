const waiting: (() => void)[] = [];

/**
 * Resolves in a coming turn of the event loop; one of all that wait in each. Whoever does a slice of long work after it
 * shares the loop with the others: twenty long answers at once hold up a heartbeat no longer than one.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(giveTurn);
  });
}

function giveTurn(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(giveTurn);
}
