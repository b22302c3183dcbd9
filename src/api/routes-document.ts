/** The table of routes as a page of the documentation: docs/API.md is this text, and a test holds it to that. */
import { API_ROUTES } from "./routes.ts";

export function routesDocument(): string {
  const rows = API_ROUTES.map(
    ({ method, path, owner, does }) => `| ${method} | \`${path}\` | ${owner} | ${does} |`,
  );
  return `# Which API path is whose

Docker's Engine API on \`/run/weft.sock\`, with or without \`/v1.NN\` in front. Paths of **weft** are answered from the cluster's state (on a worker
they answer Docker's own refusal), **merged** ones are the local Engine's answer with the cluster's part in it. Every other path passes to the local
Engine byte for byte, attached and upgraded connections included. The version advertised is the local Engine's.

| method | path | owner | what it does |
|---|---|---|---|
${rows.join("\n")}

This page is made from \`src/api/routes.ts\` by \`npm run docs\`.
`;
}
