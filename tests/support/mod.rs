//! A real window on a screen of its own, driven over WebDriver.
//!
//! Standard library and serde_json only: see the dev-dependencies in Cargo.toml.
//! Each test has its own Xvfb, its own session bus (so that single-instance does not join the tests), its own home,
//! and WebKitWebDriver, which starts the app.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

pub mod small_disk;
pub mod sound_server;

/// The name that the WebDriver standard gives to the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys as WebDriver writes them.
pub const ENTER: &str = "\u{e007}";
pub const ESCAPE: &str = "\u{e00c}";
pub const TAB: &str = "\u{e004}";
pub const SHIFT: &str = "\u{e008}";
pub const CONTROL: &str = "\u{e009}";
pub const UP: &str = "\u{e013}";
pub const DOWN: &str = "\u{e015}";

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// What outlives one window: the screen, the bus, and the files in the user's home.
pub struct Desktop {
    pub home: TempDir,
    display: String,
    bus_address: String,
    children: Vec<Child>,
}

pub struct Window<'a> {
    desktop: &'a Desktop,
    driver: Child,
    port: u16,
    session: String,
}

impl Desktop {
    pub fn new() -> Desktop {
        let home = tempfile::Builder::new().prefix("sotto-").tempdir().unwrap();
        // The driver keeps a socket here.
        fs::create_dir(home.path().join("run")).unwrap();
        // As everybody has who uses PulseAudio: without it the server sends Sotto away.
        let pulse = home.path().join(".config/pulse");
        fs::create_dir_all(&pulse).unwrap();
        fs::write(pulse.join("cookie"), [0; 256]).unwrap();
        let (xvfb, number) = daemon(
            "Xvfb",
            &[
                "-displayfd",
                "1",
                "-screen",
                "0",
                "1280x800x24",
                "-nolisten",
                "tcp",
            ],
        );
        let (bus, bus_address) = daemon(
            "dbus-daemon",
            &["--session", "--nofork", "--nopidfile", "--print-address"],
        );
        Desktop {
            home,
            display: format!(":{number}"),
            bus_address,
            children: vec![xvfb, bus],
        }
    }

    /// Starts the app with the arguments and waits for its page.
    pub fn open(&self, args: &[&str]) -> Window<'_> {
        self.open_with(args, &[])
    }

    pub fn open_with(&self, args: &[&str], env: &[(&str, &str)]) -> Window<'_> {
        let port = free_port();
        let driver = self
            .command("WebKitWebDriver")
            .arg(format!("--port={port}"))
            .env("TAURI_WEBVIEW_AUTOMATION", "true")
            .envs(env.iter().copied())
            .spawn();
        let mut window = Window {
            desktop: self,
            driver: started(driver, "WebKitWebDriver"),
            port,
            session: String::new(),
        };
        wait_until("WebKitWebDriver listens", || {
            window.http("GET", "/status", &Value::Null).ok()
        });
        let capabilities = json!({"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": {
            "binary": env!("CARGO_BIN_EXE_sotto"),
            "args": args,
        }}}});
        let reply = window.http("POST", "/session", &capabilities).unwrap();
        window.session = reply["sessionId"].as_str().unwrap().to_owned();
        window.find("#app *");
        window
    }

    /// Runs the app without a driver.
    pub fn start(&self, args: &[&str]) -> Child {
        let child = self.command(env!("CARGO_BIN_EXE_sotto")).args(args).spawn();
        started(child, "sotto")
    }

    /// Runs the app beside a window that is open already, and returns when this second process has ended.
    pub fn second_start(&self, args: &[&str]) {
        let status = self
            .command(env!("CARGO_BIN_EXE_sotto"))
            .args(args)
            .status();
        assert!(status.unwrap().success());
    }

    /// What a hand does with the mouse and the keyboard of this screen, whichever window is there.
    pub fn by_hand(&self, args: &[&str]) {
        let status = self.command("xdotool").args(args).status();
        assert!(status.unwrap().success(), "xdotool {args:?}");
    }

    fn command(&self, program: &str) -> Command {
        let home = self.home.path();
        let mut command = Command::new(program);
        command
            .stdin(Stdio::null())
            .process_group(0)
            .env("DISPLAY", &self.display)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus_address)
            .env("NO_AT_BRIDGE", "1")
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", home.join("run"))
            .env("SOTTO_DATA_DIR", home.join("data"));
        for name in [
            "XDG_DATA_HOME",
            "XDG_CONFIG_HOME",
            "XDG_CACHE_HOME",
            "WAYLAND_DISPLAY",
        ] {
            command.env_remove(name);
        }
        command
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Window<'_> {
    /// The id of the first element that matches; waits for it.
    pub fn find(&self, css: &str) -> String {
        wait_until(css, || self.find_now(css))
    }

    pub fn has(&self, css: &str) -> bool {
        self.find_now(css).is_some()
    }

    fn find_now(&self, css: &str) -> Option<String> {
        let found = self.post("/element", json!({"using": "css selector", "value": css}));
        Some(found.ok()?[ELEMENT].as_str()?.to_owned())
    }

    pub fn text(&self, css: &str) -> String {
        // The page may replace an element between the two requests.
        wait_until(css, || {
            let path = format!(
                "/session/{}/element/{}/text",
                self.session,
                self.find_now(css)?
            );
            let text = self.http("GET", &path, &Value::Null).ok()?;
            Some(text.as_str()?.to_owned())
        })
    }

    pub fn click(&self, css: &str) {
        let id = self.find(css);
        self.post(&format!("/element/{id}/click"), json!({}))
            .unwrap();
    }

    /// Presses keys wherever the focus is, one after the other.
    pub fn press(&self, keys: &str) {
        self.act(keys.chars().flat_map(|key| [down(key), up(key)]).collect());
    }

    /// Presses `key` while `held` is down.
    pub fn press_with(&self, held: &str, key: &str) {
        let (held, key) = (held.chars().next().unwrap(), key.chars().next().unwrap());
        self.act(vec![down(held), down(key), up(key), up(held)]);
    }

    fn act(&self, actions: Vec<Value>) {
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.post("/actions", json!({"actions": [keyboard]}))
            .unwrap();
    }

    /// The `data-slot` of the element that has the focus.
    pub fn focus(&self) -> String {
        let slot = self.js("return document.activeElement?.dataset.slot ?? ''");
        slot.as_str().unwrap().to_owned()
    }

    pub fn wait_for_focus(&self, slot: &str) {
        wait_until(&format!("focus on {slot}"), || {
            (self.focus() == slot).then_some(())
        });
    }

    pub fn js(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []}))
            .unwrap()
    }

    /// Runs a script that ends by calling `done(value)`.
    pub fn js_async(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        self.post("/execute/async", json!({"script": script, "args": []}))
            .unwrap()
    }

    /// Plays the event that Tauri sends for files dropped on the window.
    pub fn drop_files(&self, paths: &[&str]) {
        let drop = json!({
            "event": "tauri://drag-drop",
            "payload": {"paths": paths, "position": {"x": 1, "y": 2}},
        });
        self.js(&format!(
            "window.__TAURI_INTERNALS__.invoke('plugin:event|emit', {drop})"
        ));
    }

    /// Answers the next dialogs for saving or opening with a path, since nobody is there to click in them.
    pub fn answer_dialogs(&self, path: &str) {
        self.js(&format!(
            "const real = window.fetch;
             window.fetch = (address, request) => String(address).includes('plugin%3Adialog')
                 ? Promise.resolve(new Response({}, {{
                       headers: {{'Tauri-Response': 'ok', 'Content-Type': 'application/json'}} }}))
                 : real(address, request)",
            json!(json!(path).to_string())
        ));
    }

    /// Ends the app as a crash would: at once, and without a word.
    pub fn kill_app(&self) {
        let app = Path::new(env!("CARGO_BIN_EXE_sotto"));
        let mut killed = 0;
        for process in processes_of(self.driver.id()) {
            if fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|exe| exe == app) {
                let kill = format!("kill -KILL {process}");
                assert!(
                    Command::new("sh")
                        .args(["-c", &kill])
                        .status()
                        .unwrap()
                        .success()
                );
                killed += 1;
            }
        }
        assert_eq!(killed, 1, "one Sotto runs");
    }

    /// Goes on with the window whose page has this name; waits for it.
    pub fn enter(&self, page: &str) {
        let session = format!("/session/{}", self.session);
        wait_until(page, || {
            let handles = self.http("GET", &format!("{session}/window/handles"), &Value::Null);
            for handle in handles.ok()?.as_array()? {
                let entered = self.post("/window", json!({"handle": handle}));
                let url = self.http("GET", &format!("{session}/url"), &Value::Null);
                if entered.is_ok() && url.is_ok_and(|url| url.as_str().unwrap().ends_with(page)) {
                    return Some(());
                }
            }
            None
        });
    }

    pub fn set_size(&self, width: u32, height: u32) {
        self.post("/window/rect", json!({"width": width, "height": height}))
            .unwrap();
    }

    /// Saves a picture of the window as `$SOTTO_SCREENSHOTS/NAME.png`, for people to look at;
    /// does nothing without that variable.
    pub fn screenshot(&self, name: &str) {
        let Some(folder) = std::env::var_os("SOTTO_SCREENSHOTS") else {
            return;
        };
        // The elements are there before the pixels.
        self.js_async(
            "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(null), 300)))",
        );
        let status = self
            .desktop
            .command("import")
            .args(["-window", "root", "-crop"])
            // The window's corner is the screen's.
            .arg(format!("{}+0+0", self.size()))
            .args(["+repage", "-strip"])
            .arg(Path::new(&folder).join(name).with_extension("png"))
            .status();
        assert!(status.unwrap().success());
    }

    fn size(&self) -> String {
        let size = self.js("return `${innerWidth}x${innerHeight}`");
        size.as_str().unwrap().to_owned()
    }

    /// Saves a picture of the whole screen; never panics, since it runs when a test has.
    fn picture_of_failure(&self) {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("window").replace("::", "-");
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
        let mut import = self.desktop.command("import");
        let status = import.args(["-window", "root"]).arg(&file).status();
        if status.is_ok_and(|status| status.success()) {
            eprintln!("what the screen showed: {}", file.display());
        }
    }

    fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.http("POST", &format!("/session/{}{path}", self.session), &body)
    }

    /// The `value` of the driver's reply.
    fn http(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let text = |e: std::io::Error| e.to_string();
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(text)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .map_err(text)?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).map_err(text)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(number) = line.strip_prefix("content-length:") {
                length = number.trim().parse().map_err(|_| line.clone())?;
            }
        }
        let mut reply = vec![0; length];
        reader.read_exact(&mut reply).map_err(text)?;
        let mut reply: Value = serde_json::from_slice(&reply).map_err(|e| e.to_string())?;
        let value = reply["value"].take();
        match value.get("error") {
            Some(_) => Err(value.to_string()),
            None => Ok(value),
        }
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.picture_of_failure();
        }
        let _ = self.http(
            "DELETE",
            &format!("/session/{}", self.session),
            &Value::Null,
        );
        // The app is in the driver's process group. It gets time to save, but the next window needs it gone:
        // a second start joins the first.
        let end = Instant::now() + Duration::from_secs(5);
        while processes_of(self.driver.id()).len() > 1 && Instant::now() < end {
            sleep(Duration::from_millis(20));
        }
        let kill = format!("kill -KILL -{}", self.driver.id());
        let _ = Command::new("sh").args(["-c", &kill]).status();
        let _ = self.driver.wait();
        while !processes_of(self.driver.id()).is_empty() && Instant::now() < end + PATIENCE {
            sleep(Duration::from_millis(20));
        }
        // The bus needs a moment to notice: until then the next Sotto would join the one that is gone.
        sleep(Duration::from_secs(1));
    }
}

/// The processes that live in a process group.
fn processes_of(group: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let in_group = |stat: &str| {
        // After the name in brackets: state, parent, group.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = fields.split_ascii_whitespace();
        let lives = fields.next() != Some("Z");
        lives && fields.nth(1) == Some(&group.to_string())
    };
    processes
        .flatten()
        .filter(|process| {
            let stat = fs::read_to_string(process.path().join("stat"));
            stat.is_ok_and(|stat| in_group(&stat))
        })
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

fn down(key: char) -> Value {
    json!({"type": "keyDown", "value": key})
}

fn up(key: char) -> Value {
    json!({"type": "keyUp", "value": key})
}

/// Tries until there is something, and panics with `what` when there never is.
pub fn wait_until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        sleep(Duration::from_millis(30));
    }
}

/// Starts a program that says in its first line how to reach it.
fn daemon(program: &str, args: &[&str]) -> (Child, String) {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let mut child = started(child, program);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (child, line.trim().to_owned())
}

fn started(child: std::io::Result<Child>, program: &str) -> Child {
    child.unwrap_or_else(|e| panic!("{program}: {e}; `cargo xtask test` installs it"))
}

/// A port that nobody listens on.
///
/// Below those that the system hands out for outgoing connections: while the driver is not up yet, a connection from
/// such a port could meet itself.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 1_000) as u16 * 20;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
