// Questions of one view, one at a time: a new one gives up the one before. Pure.

export function asking() {
  let now = null;
  const giveUp = () => {
    now?.control.abort();
    now = null;
  };
  return {
    giveUp,
    // What `make` answers when it is given a signal. Null when the same question waits for its answer already,
    // or this one was given up.
    async ask(question, make) {
      if (now?.question === question) return null;
      giveUp();
      const mine = { question, control: new AbortController() };
      now = mine;
      try {
        const found = await make(mine.control.signal);
        return now === mine ? found : null;
      } catch (error) {
        if (now !== mine) return null;
        throw error;
      } finally {
        if (now === mine) now = null;
      }
    },
  };
}

// What `ask` answers once all items are counted; `onBehind` is told how many are not, each time.
export async function counted(ask, onBehind = () => {}) {
  for (;;) {
    const found = await ask();
    if (!found.behind) return found;
    onBehind(found.behind);
  }
}
