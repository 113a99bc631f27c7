//! Captions of a virtual sound card: what is played into it comes out as text.
//!
//! Real time, so a machine that is very busy can fail it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::sound_server::SoundServer;
use super::spoken::{minute, word_error_rate, write_wav};

/// `sotto-cli transcribe`, listening.
struct Listening {
    child: Child,
    events: Receiver<String>,
    notes: Receiver<String>,
}

impl Listening {
    fn start(server: &SoundServer, sources: &[&str]) -> Self {
        let mut command = server.command(env!("CARGO_BIN_EXE_sotto-cli"));
        command.args(["transcribe", "--language", "en", "--live", "--json"]);
        command.args(sources);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let events = lines(child.stdout.take().unwrap());
        let notes = lines(child.stderr.take().unwrap());
        let listening = Self {
            child,
            events,
            notes,
        };
        for _ in sources {
            listening.wait_for_note("Listening to ");
        }
        listening
    }

    fn wait_for_note(&self, part: &str) {
        loop {
            let note = self.notes.recv_timeout(Duration::from_secs(30));
            if note
                .unwrap_or_else(|_| panic!("no note says {part:?}"))
                .contains(part)
            {
                return;
            }
        }
    }

    /// The text of the next segment that is finished, and its channel.
    fn next(&self) -> (String, String) {
        loop {
            let line = self.events.recv_timeout(Duration::from_secs(60));
            let event: Value = serde_json::from_str(&line.expect("a segment")).unwrap();
            if event["final"] == true {
                let text = |key: &str| event[key].as_str().unwrap().to_owned();
                return (text("committed"), text("channel"));
            }
        }
    }

    /// Ctrl-C; everything heard is finished then.
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.child.wait().unwrap().success());
    }
}

fn lines(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

#[test]
fn what_is_played_and_what_is_said_become_captions() {
    let server = SoundServer::start("sound");
    let (samples, spoken) = minute();
    let file = server.folder.join("said.wav");
    let sentence = |n: usize| {
        let from = spoken[n].start_ms as usize * 16 - 8000;
        let to = spoken[n].end_ms as usize * 16 + 8000;
        write_wav(&file, &samples[from..to]);
        spoken[n].text.clone()
    };
    for (source, sink, channel) in [
        ("--system", "speaker", "others"),
        ("--microphone", "mic_feed", "me"),
    ] {
        let listening = Listening::start(&server, &[source]);
        for n in [2, 14] {
            let said = sentence(n);
            server.play(sink, &file);
            let (text, found) = listening.next();
            assert_eq!(found, channel);
            let errors = word_error_rate(&said, &text);
            assert!(errors <= 0.25, "{source}: {text:?} instead of {said:?}");
        }
        listening.stop();
    }

    // Both at once, and each says something else at the same time.
    let listening = Listening::start(&server, &["--microphone", "--system"]);
    let mine = sentence(14);
    let my_file = server.folder.join("mine.wav");
    fs::rename(&file, &my_file).unwrap();
    let others = sentence(2);
    std::thread::scope(|scope| {
        scope.spawn(|| server.play("mic_feed", &my_file));
        server.play("speaker", &file);
    });
    let (one, two) = (listening.next(), listening.next());
    for (text, channel) in [&one, &two] {
        let said = if channel == "me" { &mine } else { &others };
        assert!(word_error_rate(said, text) <= 0.25, "{channel}: {text:?}");
    }
    assert_ne!(one.1, two.1);
    listening.stop();

    // The server goes away and comes back: both are said, and captions go on.
    let listening = Listening::start(&server, &["--system"]);
    drop(server);
    listening.wait_for_note("is gone");
    let server = SoundServer::start("sound");
    listening.wait_for_note("Listening to ");
    let file = server.folder.join("said.wav");
    write_wav(
        &file,
        &samples[spoken[2].start_ms as usize * 16 - 8000..spoken[2].end_ms as usize * 16 + 8000],
    );
    server.play("speaker", &file);
    let (text, _) = listening.next();
    assert!(word_error_rate(&spoken[2].text, &text) <= 0.25, "{text}");
    listening.stop();
}

#[test]
fn without_a_sound_server_system_sound_is_a_sentence() {
    let nowhere = std::env::temp_dir().join("sotto-no-sound-server");
    let output = Command::new(env!("CARGO_BIN_EXE_sotto-cli"))
        .args(["transcribe", "--system"])
        .env("XDG_RUNTIME_DIR", &nowhere)
        .env(
            "PULSE_SERVER",
            format!("unix:{}", nowhere.join("native").display()),
        )
        .output()
        .unwrap();
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{sentence}");
    assert!(
        sentence.contains("error: What the computer plays cannot be heard; on Linux"),
        "{sentence}"
    );
}
