/**
 * What breaks, how far its effect goes, and how long after its healing it is over. Clients ask through two sidecars all the while.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import test from "ava";
import { Faults } from "./faults.ts";
import { TestNetnsMesh } from "./mesh.ts";
import type { Pod } from "./pod.ts";
import type { Running } from "./running.ts";
