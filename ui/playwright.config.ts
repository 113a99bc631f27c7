import { defineConfig } from "@playwright/test";

const PORT = 1421;

/** The UI in a browser, with the Rust side played by `lib/ipc/mock.ts`. */
export default defineConfig({
  testDir: "browser",
  outputDir: "../target/browser",
  fullyParallel: true,
  workers: 2,
  reporter: "line",
  webServer: {
    // Not through npm, so that one process ends it.
    command: `node node_modules/vite/bin/vite.js --port ${PORT} --strictPort`,
    url: `http://localhost:${PORT}`,
    reuseExistingServer: false,
  },
  use: {
    baseURL: `http://localhost:${PORT}`,
    locale: "en-GB",
    viewport: { width: 1200, height: 800 },
    launchOptions: {
      // Debian's, which `cargo xtask test` installs: Playwright's own would be a download.
      executablePath: "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
    },
  },
});
