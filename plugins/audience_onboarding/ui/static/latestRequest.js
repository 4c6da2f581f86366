/* One request at a time: a new request aborts the previous one and its response is dropped. */

export function latestRequest() {
  let controller = null;
  let closed = false;

  return {
    /**
     * @param request called with an abort signal, returns a promise of the response
     * @param onSuccess called with the response, unless a newer request was sent or close() was called
     * @param onError likewise, called with the ApiError
     */
    async send(request, onSuccess, onError) {
      controller?.abort();
      controller = new AbortController();
      const own = controller;
      try {
        const response = await request(own.signal);
        if (own === controller && !closed) onSuccess(response);
      } catch (error) {
        if (error.name === "AbortError" || own !== controller || closed) return;
        if (error.name !== "ApiError") throw error;
        onError(error);
      }
    },
    close() {
      closed = true;
      controller?.abort();
    },
  };
}
