/** Names of network interfaces, where a user may give one in place of an address. */

/** As the kernel takes them (15 bytes), with a letter: digits and dots alone are an address that was mistyped. */
const LINK_NAME = /^(?=.*[a-z_])[\w.@+-]{1,15}$/i;

/** Whether a word can only be meant as an interface's name, such as eth1. */
export function isLinkName(word: string): boolean {
  return LINK_NAME.test(word);
}
