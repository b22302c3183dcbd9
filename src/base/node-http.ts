/**
 * node:http and node:https without the modules that nobody here has a use for: an `import` of node:http
 * evaluates all of its exports, and with the one named WebSocket come 12 MB of a client library into the process.
 */
export const { Agent, createServer, request } = process.getBuiltinModule("node:http");
export const { createServer: createTLSServer } = process.getBuiltinModule("node:https");
