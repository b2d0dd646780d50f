/** Names of header fields that only proxies of the mesh write. */

/** With dashes; underscores count as dashes, because many servers make no difference between the two. */
export const privatePrefix = "l5d-";

/** Whether a name in lower case is one of them. */
export function isPrivateName(name: string): boolean {
  return name.charCodeAt(0) === 0x6c && name.replaceAll("_", "-").startsWith(privatePrefix);
}
