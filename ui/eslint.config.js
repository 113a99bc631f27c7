import js from "@eslint/js";
import svelte from "eslint-plugin-svelte";
import { defineConfig } from "eslint/config";
import globals from "globals";
import ts from "typescript-eslint";

import svelteConfig from "./svelte.config.js";

/** Tauri is imported in one place, and features do not know each other. */
const noTauri = { group: ["@tauri-apps/*"], message: "Only lib/ipc talks to Tauri." };
const restrict = (...patterns) => ({ "no-restricted-imports": ["error", { patterns }] });

export default defineConfig(
  { ignores: ["dist/", "node_modules/", "src/lib/ipc/bindings.ts"] },
  js.configs.recommended,
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  { languageOptions: { globals: globals.browser } },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { parserOptions: { parser: ts.parser, svelteConfig } },
  },
  // TypeScript itself finds names that do not exist.
  { files: ["**/*.ts", "**/*.svelte"], rules: { "no-undef": "off" } },
  { files: ["src/**"], ignores: ["src/lib/ipc/**"], rules: restrict(noTauri) },
  ...["chat", "memory", "models", "settings", "threads"].map((feature, _, all) => ({
    files: [`src/features/${feature}/**`],
    rules: restrict(noTauri, {
      group: all.filter((other) => other !== feature).map((other) => `../${other}/**`),
      message: "Features meet in views/.",
    }),
  })),
);
