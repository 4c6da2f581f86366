/* One question at a time: a new one takes the place of the one before it, whose answer comes to nobody. */

export function asker() {
  let asking = null;
  let closed = false;

  return {
    /**
     * @param read called with a signal, gives the answer
     * @param show called with the answer, unless another question or the end has come first
     * @param fail likewise, with what went wrong
     */
    async ask(read, show, fail) {
      asking?.abort();
      asking = new AbortController();
      const mine = asking;
      try {
        const answer = await read(mine.signal);
        if (mine === asking && !closed) show(answer);
      } catch (error) {
        if (error.name === "AbortError" || mine !== asking || closed) return;
        if (error.name !== "ApiError") throw error;
        fail(error);
      }
    },
    close() {
      closed = true;
      asking?.abort();
    },
  };
}
