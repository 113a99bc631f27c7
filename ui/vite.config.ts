import { svelte } from "@sveltejs/vite-plugin-svelte";
import { svelteTesting } from "@testing-library/svelte/vite";
import { defineConfig } from "vitest/config";

/** KaTeX names its fonts in three formats for old browsers; every web view that Sotto runs in reads the first. */
const oneFontFormat = {
  name: "one-font-format",
  enforce: "pre" as const,
  transform: (code: string, id: string) =>
    id.endsWith("katex.min.css") ? code.replace(/,url\([^)]*\.(woff|ttf)\) format\("\w+"\)/g, "") : undefined,
};

export default defineConfig({
  plugins: [oneFontFormat, svelte(), svelteTesting()],
  clearScreen: false,
  // The address that tauri.conf.json knows.
  server: { port: 1420, strictPort: true, fs: { allow: [".."] } }, // the logo is in ../assets
  // A data: address would need a hole in the content security policy.
  build: {
    target: ["es2022", "safari16"],
    assetsInlineLimit: 0,
    rolldownOptions: { input: { main: "index.html", overlay: "overlay.html" } }, // a page for each window
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.ts"] },
});
