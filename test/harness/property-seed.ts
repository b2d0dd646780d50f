/**
 * Loaded before each test file. Property tests draw anew on each run at a desk, where a finding is welcome; in CI they draw the same each time, so that
 * a change is judged by what it changes. `WEFT_TEST_SEED=7 npm test` repeats a run.
 */
import { configureGlobal } from "fast-check";

const chosen = process.env["WEFT_TEST_SEED"] ?? (process.env["CI"] === undefined ? "" : "2026");
if (chosen !== "") configureGlobal({ seed: Number(chosen) });
