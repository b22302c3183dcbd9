/** The part "lists" as a table. */
import { milliseconds, renderTable, spreadOf } from "../table.ts";
import type { ListsReport } from "./lists.ts";

export function renderLists({ lists }: ListsReport): string {
  const columns = [
    { title: "", align: "left" as const },
    { title: "the API's answer" },
    { title: "±" },
    { title: "Docker's CLI" },
    { title: "±" },
  ];
  const rows = lists.map(({ what, answerMs, cliMs }) => [
    what,
    milliseconds(answerMs.median),
    spreadOf(answerMs),
    milliseconds(cliMs.median),
    spreadOf(cliMs),
  ]);
  return `Lists: what users of a large cluster wait for\n\n${renderTable(columns, rows)}`;
}
