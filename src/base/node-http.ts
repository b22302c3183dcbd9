/**
 * node:http without the modules that nobody here has a use for: an `import` of it evaluates all of its
 * exports, and with the one named WebSocket come 12 MB of a client library into the process.
 */
export const { Agent, createServer, request } = process.getBuiltinModule("node:http");
