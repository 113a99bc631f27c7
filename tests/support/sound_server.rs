//! A sound card that is not there: PulseAudio with null sinks, for tests that play and record.
//!
//! Shared by the window's tests and those of the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A sound server of its own: the sink `speaker`, and the source `mic` that hears what is played into `mic_feed`.
pub struct SoundServer {
    /// For its socket and what else belongs to it; gone with the server.
    pub folder: PathBuf,
    children: Vec<Child>,
}

impl SoundServer {
    pub fn start(name: &str) -> Self {
        // Short, because the name of a socket has at most 107 bytes.
        let folder = std::env::temp_dir().join(format!("sotto-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut server = Self {
            folder,
            children: Vec::new(),
        };
        server.start_again();
        server
    }

    /// Starts the server where it was, after a [`kill`](Self::kill).
    pub fn start_again(&mut self) {
        let socket = self.folder.join("native").display().to_string();
        let mut command = self.command("pulseaudio");
        command.args([
            "-n",
            "--daemonize=no",
            "--use-pid-file=no",
            "--exit-idle-time=-1",
            "--log-level=error",
        ]);
        for module in [
            format!("module-native-protocol-unix socket={socket} auth-anonymous=1"),
            "module-null-sink sink_name=speaker rate=48000 channels=2".into(),
            "module-null-sink sink_name=mic_feed rate=48000 channels=1".into(),
            "module-remap-source master=mic_feed.monitor source_name=mic".into(),
        ] {
            command.args(["-L", &module]);
        }
        self.children.push(command.spawn().unwrap());
        let began = Instant::now();
        while !self.control(&["info"]) {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "pulseaudio does not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(self.control(&["set-default-sink", "speaker"]));
        assert!(self.control(&["set-default-source", "mic"]));
        for sink in ["speaker", "mic_feed"] {
            self.keep_awake(sink);
        }
    }

    /// A silence that plays keeps the latency of a null sink low.
    fn keep_awake(&mut self, sink: &str) {
        let mut command = self.command("pacat");
        command.args([
            "--raw",
            "--latency-msec=20",
            "--rate=48000",
            "--channels=1",
            "--format=s16le",
        ]);
        command.args([&format!("--device={sink}"), "/dev/zero"]);
        self.children.push(command.spawn().unwrap());
    }

    /// Ends the server without a word to those who listen.
    pub fn kill(&mut self) {
        for mut child in self.children.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_file(self.folder.join("native"));
    }

    /// The server answers nothing any more, and ends nothing either.
    #[allow(dead_code)] // some who share this file know no such trouble
    pub fn hang(&self) {
        let server = self.children[0].id().to_string();
        let status = Command::new("kill").args(["-STOP", &server]).status();
        assert!(status.unwrap().success());
    }

    /// Adds a microphone of this name that hears what is played into `NAME_feed`, and makes it the default one.
    pub fn add_microphone(&mut self, name: &str) {
        let feed = format!("sink_name={name}_feed");
        let null = ["load-module", "module-null-sink", &feed, "channels=1"];
        assert!(self.control(&null));
        let (master, source) = (
            format!("master={name}_feed.monitor"),
            format!("source_name={name}"),
        );
        assert!(self.control(&["load-module", "module-remap-source", &master, &source]));
        assert!(self.control(&["set-default-source", name]));
        self.keep_awake(&format!("{name}_feed"));
    }

    /// Takes away all modules of a kind: `module-remap-source` is the microphone.
    pub fn unload(&self, kind: &str) {
        assert!(self.control(&["unload-module", kind]));
    }

    /// What `PULSE_SERVER` is for a program that shall speak to this server.
    pub fn address(&self) -> String {
        format!("unix:{}", self.folder.join("native").display())
    }

    /// A program that speaks to this server.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("XDG_RUNTIME_DIR", &self.folder)
            .env("PULSE_STATE_PATH", self.folder.join("state"))
            .env("PULSE_SERVER", self.address())
            .env("CANDLE_NUM_THREADS", "1")
            .stdin(Stdio::null());
        command
    }

    /// Whether `pactl` with these arguments succeeds.
    pub fn control(&self, args: &[&str]) -> bool {
        let mut command = self.command("pactl");
        let status = command
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }

    /// Plays a sound file into a sink, and returns at its end.
    pub fn play(&self, sink: &str, file: &Path) {
        let mut command = self.command("paplay");
        assert!(
            command
                .arg(format!("--device={sink}"))
                .arg(file)
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
