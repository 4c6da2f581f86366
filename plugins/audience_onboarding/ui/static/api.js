/* What the page asks. All addresses are relative to the page, wherever Airflow lies. */

export class ApiError extends Error {
  /** @param kind login, forbidden, missing, server or network */
  constructor(kind, message) {
    super(message);
    this.name = "ApiError";
    this.kind = kind;
  }
}

const KINDS = { 401: "login", 403: "forbidden", 404: "missing" };

/**
 * @param parameters lists give the same name several times; null and "" are left out
 * @throws ApiError what went wrong; AbortError if the signal came first
 */
async function get(path, parameters, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") query.append(name, one);
    }
  }
  const address = query.size ? `${path}?${query}` : path;
  let answer;
  try {
    answer = await fetch(address, {
      signal,
      credentials: "same-origin",
      cache: "no-store",
      headers: { Accept: "application/json" },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("network", "Airflow could not be reached.");
  }
  if (!answer.ok) throw new ApiError(KINDS[answer.status] ?? "server", `Airflow answered with status ${answer.status}.`);
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("server", "Airflow answered with something that is not JSON.");
  }
}

const one = (key) => `api/audiences/${encodeURIComponent(key)}`;

export const listAudiences = (parameters, signal) => get("api/audiences", parameters, signal);
export const getAudience = (key, signal) => get(one(key), {}, signal);
export const listLoads = (key, limit, offset, signal) => get(`${one(key)}/loads`, { limit, offset }, signal);
