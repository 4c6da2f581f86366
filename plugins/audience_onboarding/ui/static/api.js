/* Client of the page's API. URLs are relative to the page, so they work below any path of Airflow. */

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
 * @param parameters a list repeats its name; null and "" are omitted
 * @throws ApiError, or AbortError after an abort
 */
async function get(path, parameters, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null && item !== undefined && item !== "") query.append(name, item);
    }
  }
  const url = query.size ? `${path}?${query}` : path;
  let response;
  try {
    response = await fetch(url, {
      signal,
      credentials: "same-origin",
      cache: "no-store",
      headers: { Accept: "application/json" },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("network", "Airflow is unreachable.");
  }
  if (!response.ok) throw new ApiError(KINDS[response.status] ?? "server", `Airflow returned status ${response.status}.`);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("server", "Airflow returned a response that is not JSON.");
  }
}

const audiencePath = (key) => `api/audiences/${encodeURIComponent(key)}`;

export const listAudiences = (parameters, signal) => get("api/audiences", parameters, signal);
export const getAudience = (key, signal) => get(audiencePath(key), {}, signal);
export const listLoads = (key, limit, offset, signal) => get(`${audiencePath(key)}/loads`, { limit, offset }, signal);
