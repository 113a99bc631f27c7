//! What the user has chosen, from one start to the next: a small JSON file.
//!
//! It is replaced in one step, so a crash leaves the old file or the new one.
//! Of a damaged file every field that can still be understood is kept, the rest gets its default, and the file itself
//! stays beside the new one as `settings.broken.json`.

mod overlay;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, mem};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};
use specta::Type;

use crate::types::{ApiError, AskOptions, ErrorCode, Number};
pub use overlay::{
    CaptionChoices, CaptionStyle, GlobalShortcuts, LiveSource, OverlayChange, OverlayMode,
    OverlayPlace, OverlaySettings, OverlayText, TextAlignment, TextEdge, TextWeight,
};

/// Every combination of values is a valid one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Type)]
pub struct Settings {
    pub theme: Theme,
    pub text_size: TextSize,
    pub language: Language,
    pub send_key: SendKey,
    /// Closing the window leaves Sotto running behind its icon in the tray.
    pub close_to_tray: bool,
    pub generation: GenerationSettings,
    /// Where models are looked for, beside Sotto's own folder.
    pub model_folders: Vec<PathBuf>,
    /// The model to open at the start; without it the one that was open last.
    pub default_model: Option<PathBuf>,
    pub last_model: Option<PathBuf>,
    /// The most that a model may take, in megabytes; without it as much as is free.
    pub memory_limit: Option<u32>,
    pub captions: CaptionChoices,
    pub overlay: OverlaySettings,
    pub shortcuts: GlobalShortcuts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum TextSize {
    Small,
    #[default]
    Normal,
    Large,
    Larger,
    // Twice the normal size.
    Largest,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    #[default]
    System,
    En,
    De,
}

/// What sends a question; the other one breaks the line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum SendKey {
    #[default]
    Enter,
    CtrlEnter,
}

/// How answers are written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Type)]
pub struct GenerationSettings {
    pub preset: Preset,
    /// What `Preset::Custom` means.
    pub custom: CustomGeneration,
    /// Where an answer is cut at the latest, in tokens, with every preset.
    #[serde(deserialize_with = "within::<1, 1_000_000, _, _>")]
    #[specta(type = Option<Number>)]
    pub max_tokens: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    // The likeliest words: the same question gets the same answer.
    Precise,
    // What the model's makers recommend.
    #[default]
    Balanced,
    Creative,
    Custom,
}

/// What is left out takes the model's own value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, Type)]
pub struct CustomGeneration {
    #[serde(deserialize_with = "within::<0, 2, _, _>")]
    #[specta(type = Option<Number>)]
    pub temperature: Option<f32>,
    #[serde(deserialize_with = "within::<0, 1_000_000, _, _>")]
    #[specta(type = Option<Number>)]
    pub top_k: Option<u32>,
    #[serde(deserialize_with = "within::<0, 1, _, _>")]
    #[specta(type = Option<Number>)]
    pub top_p: Option<f32>,
    #[serde(deserialize_with = "within::<0, 1, _, _>")]
    #[specta(type = Option<Number>)]
    pub min_p: Option<f32>,
    #[serde(deserialize_with = "within::<1, 2, _, _>")]
    #[specta(type = Option<Number>)]
    pub repetition_penalty: Option<f32>,
}

fn within<'de, const LOW: i32, const HIGH: i32, T, D>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + Copy + Into<f64>,
    D: Deserializer<'de>,
{
    let value = Option::<T>::deserialize(deserializer)?;
    let range = f64::from(LOW)..=f64::from(HIGH);
    match value {
        Some(value) if !range.contains(&value.into()) => {
            Err(de::Error::custom(format!("is not from {LOW} to {HIGH}")))
        }
        value => Ok(value),
    }
}

impl GenerationSettings {
    /// The options of a question: what it asks for itself comes first.
    pub fn complete(&self, options: AskOptions) -> AskOptions {
        let preset = match self.preset {
            Preset::Precise => CustomGeneration {
                temperature: Some(0.0),
                ..CustomGeneration::default()
            },
            Preset::Balanced => CustomGeneration::default(),
            // More of the unlikely words, but none that the model holds for nonsense.
            Preset::Creative => CustomGeneration {
                temperature: Some(1.4),
                top_k: Some(128),
                top_p: Some(0.98),
                min_p: Some(0.03),
                repetition_penalty: None,
            },
            Preset::Custom => self.custom,
        };
        AskOptions {
            temperature: options.temperature.or(preset.temperature),
            top_k: options.top_k.or(preset.top_k),
            top_p: options.top_p.or(preset.top_p),
            min_p: options.min_p.or(preset.min_p),
            repetition_penalty: options.repetition_penalty.or(preset.repetition_penalty),
            max_tokens: options.max_tokens.or(self.max_tokens),
            ..options
        }
    }
}

/// One thing that the user changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "setting", content = "value", rename_all = "snake_case")]
pub enum SettingChange {
    Theme(Theme),
    TextSize(TextSize),
    Language(Language),
    SendKey(SendKey),
    CloseToTray(bool),
    Generation(GenerationSettings),
    ModelFolders(Vec<PathBuf>),
    DefaultModel(Option<PathBuf>),
    MemoryLimit(Option<u32>),
    Captions(CaptionChoices),
}

impl Settings {
    /// In bytes.
    pub fn memory_limit(&self) -> Option<u64> {
        self.memory_limit
            .map(|megabytes| u64::from(megabytes) * 1_000_000)
    }

    pub fn apply(&mut self, change: SettingChange) {
        match change {
            SettingChange::Theme(theme) => self.theme = theme,
            SettingChange::TextSize(size) => self.text_size = size,
            SettingChange::Language(language) => self.language = language,
            SettingChange::SendKey(key) => self.send_key = key,
            SettingChange::CloseToTray(closes) => self.close_to_tray = closes,
            SettingChange::Generation(generation) => self.generation = generation,
            SettingChange::ModelFolders(folders) => self.model_folders = folders,
            SettingChange::DefaultModel(model) => self.default_model = model,
            SettingChange::MemoryLimit(megabytes) => self.memory_limit = megabytes,
            SettingChange::Captions(choices) => self.captions = choices,
        }
    }
}

/// What the window shows of the settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct SettingsState {
    pub settings: Settings,
    /// Set if the file was damaged when Sotto started.
    pub salvage: Option<Salvage>,
}

/// What was lost with a damaged file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Salvage {
    /// The fields that have their defaults again, such as "generation.preset".
    pub lost: Vec<String>,
    /// Where the damaged file lies now; none if it could not be moved.
    pub kept_as: Option<String>,
}

/// The settings in force, and their file.
#[derive(Debug)]
pub struct SettingsFile {
    /// None where the system names no folder for it: nothing is remembered then.
    path: Option<PathBuf>,
    value: Mutex<Settings>,
    salvage: Option<Salvage>,
}

impl SettingsFile {
    pub fn load(path: Option<PathBuf>) -> SettingsFile {
        let (value, salvage) = path.as_deref().map(read).unwrap_or_default();
        SettingsFile {
            path,
            value: Mutex::new(value),
            salvage,
        }
    }

    pub fn get(&self) -> Settings {
        self.value().clone()
    }

    pub fn state(&self) -> SettingsState {
        SettingsState {
            settings: self.get(),
            salvage: self.salvage.clone(),
        }
    }

    /// Changes settings and writes them, if anything did change. They are in force even if the disk refuses them.
    pub fn update(&self, change: impl FnOnce(&mut Settings)) -> Result<(), ApiError> {
        let mut value = self.value();
        let mut changed = value.clone();
        change(&mut changed);
        if *value == changed {
            return Ok(());
        }
        let _ = mem::replace(&mut *value, changed);
        let Some(path) = &self.path else {
            return Ok(());
        };
        write(path, &value).map_err(|e| {
            let message = format!(
                "The settings hold until Sotto ends, but {} could not be written ({e}). Make room there, or make it \
                 writable, and change a setting again.",
                path.display()
            );
            ApiError::new(ErrorCode::Storage, message)
        })
    }

    fn value(&self) -> MutexGuard<'_, Settings> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> (Settings, Option<Salvage>) {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Default::default(),
        Err(_) => String::new(),
    };
    let found = parse(&text);
    let is_whole = serde_json::from_str::<Map<String, Value>>(&text).is_ok();
    let mut good = to_map(&Settings::default());
    let mut lost = Vec::new();
    take_valid(&mut Vec::new(), &found, &mut good, is_whole, &mut lost);
    let settings = from_map(&good).unwrap_or_default();
    if lost.is_empty() && is_whole {
        return (settings, None);
    }
    let aside = path.with_extension("broken.json");
    let kept = fs::rename(path, &aside).is_ok();
    let salvage = Salvage {
        lost,
        kept_as: kept.then(|| aside.display().to_string()),
    };
    (settings, Some(salvage))
}

/// The object in `text`, or what its beginning holds of one: a file that was cut short keeps its first fields.
fn parse(text: &str) -> Map<String, Value> {
    let object = |text: &str| serde_json::from_str(text).ok();
    let cuts = text.rmatch_indices(',').map(|(at, _)| &text[..at]);
    object(text)
        .or_else(|| cuts.take(200).find_map(|head| object(&format!("{head}}}"))))
        .unwrap_or_default()
}

/// Puts every field of `found` that can be understood into `good`, and the path of every other one into `lost`.
fn take_valid(
    path: &mut Vec<String>,
    found: &Map<String, Value>,
    good: &mut Map<String, Value>,
    is_whole: bool,
    lost: &mut Vec<String>,
) {
    // Fields that only another version knows are none of ours.
    let known: Vec<String> = fields(good, path).keys().cloned().collect();
    for key in known {
        let default = fields(good, path)[&key].clone();
        path.push(key);
        match found.get(&path[path.len() - 1]) {
            Some(Value::Object(inner)) if default.is_object() => {
                take_valid(path, inner, good, is_whole, lost);
            }
            Some(value) => {
                set(good, path, value.clone());
                if from_map(good).is_none() {
                    set(good, path, default);
                    lost.push(path.join("."));
                }
            }
            None if is_whole => {}
            None => lost.push(path.join(".")),
        }
        path.pop();
    }
}

/// The object at `path` of `root`.
fn fields<'a>(root: &'a Map<String, Value>, path: &[String]) -> &'a Map<String, Value> {
    let inner = path
        .iter()
        .try_fold(root, |fields, key| fields[key].as_object());
    inner.expect("the path leads through objects")
}

fn set(root: &mut Map<String, Value>, path: &[String], value: Value) {
    let (last, above) = path.split_last().expect("a field has a name");
    let inner = above
        .iter()
        .try_fold(root, |fields, key| fields[key].as_object_mut());
    let _ = inner
        .expect("the path leads through objects")
        .insert(last.clone(), value);
}

fn to_map(settings: &Settings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn from_map(map: &Map<String, Value>) -> Option<Settings> {
    serde_json::from_value(Value::Object(map.clone())).ok()
}

fn write(path: &Path, settings: &Settings) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    // In the same directory: a file can be renamed over another only within one file system.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    serde_json::to_writer_pretty(&mut file, settings)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remember(file: &SettingsFile, model: &str) {
        file.update(|settings| settings.last_model = Some(model.into()))
            .expect("the directory is writable");
    }

    /// What is read from a file with this text, and what is left in its folder.
    fn load(text: &str) -> (SettingsState, Vec<String>) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("settings.json");
        fs::write(&path, text).expect("writes");
        let state = SettingsFile::load(Some(path)).state();
        let names = fs::read_dir(dir.path()).expect("lists").flatten();
        let mut names: Vec<_> = names.map(|e| e.file_name().display().to_string()).collect();
        names.sort();
        (state, names)
    }

    #[test]
    fn remembers_in_a_directory_that_did_not_exist() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("new").join("settings.json");
        let file = SettingsFile::load(Some(path.clone()));
        assert_eq!(file.get(), Settings::default());
        remember(&file, "/models/a");
        remember(&file, "/models/b");
        let again = SettingsFile::load(Some(path.clone())).state();
        assert_eq!(again.settings.last_model, Some("/models/b".into()));
        assert_eq!(again.salvage, None);
        let files = fs::read_dir(path.parent().expect("has one")).expect("lists");
        assert_eq!(files.count(), 1, "no temporary file stays");
    }

    #[test]
    fn every_change_is_kept() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("settings.json");
        let custom = CustomGeneration {
            temperature: Some(0.25),
            repetition_penalty: Some(1.5),
            ..CustomGeneration::default()
        };
        let generation = GenerationSettings {
            preset: Preset::Custom,
            custom,
            max_tokens: Some(200),
        };
        let captions = CaptionChoices {
            source: LiveSource::Both,
            language: Some("en".into()),
            translate: Some("de".into()),
            keep_sound: false,
        };
        let style = CaptionStyle {
            size: 40,
            background: "#0000aa".into(),
            ..CaptionStyle::default()
        };
        let overlay = OverlaySettings {
            mode: OverlayMode::Top,
            shown: OverlayText::Translation,
            style: style.clone(),
            place: Some(OverlayPlace {
                x: -40,
                y: 300,
                width: 700,
            }),
        };
        let shortcuts = GlobalShortcuts {
            toggle_overlay: None,
            ..GlobalShortcuts::default()
        };
        let changes = [
            SettingChange::Theme(Theme::Dark),
            SettingChange::TextSize(TextSize::Largest),
            SettingChange::Language(Language::De),
            SettingChange::SendKey(SendKey::CtrlEnter),
            SettingChange::CloseToTray(true),
            SettingChange::Generation(generation.clone()),
            SettingChange::ModelFolders(vec!["/m".into()]),
            SettingChange::DefaultModel(Some("/m/a".into())),
            SettingChange::MemoryLimit(Some(2500)),
            SettingChange::Captions(captions.clone()),
        ];
        let file = SettingsFile::load(Some(path.clone()));
        file.update(|settings| {
            changes
                .into_iter()
                .for_each(|change| settings.apply(change));
            settings.overlay.apply(OverlayChange::Mode(overlay.mode));
            settings.overlay.apply(OverlayChange::Shown(overlay.shown));
            settings.overlay.apply(OverlayChange::Style(style));
            settings.overlay.place = overlay.place;
            settings.shortcuts = shortcuts.clone();
        })
        .expect("the directory is writable");
        let expected = Settings {
            theme: Theme::Dark,
            text_size: TextSize::Largest,
            language: Language::De,
            send_key: SendKey::CtrlEnter,
            close_to_tray: true,
            generation,
            model_folders: vec!["/m".into()],
            default_model: Some("/m/a".into()),
            last_model: None,
            memory_limit: Some(2500),
            captions,
            overlay,
            shortcuts,
        };
        assert_eq!(expected.memory_limit(), Some(2_500_000_000));
        assert_eq!(SettingsFile::load(Some(path)).get(), expected);
    }

    #[test]
    fn what_is_valid_in_a_damaged_file_is_kept() {
        let (state, files) = load(
            r#"{"theme": "dark", "text_size": 12, "last_model": "/m", "close_to_tray": "yes",
                "generation": {"preset": "creative", "max_tokens": -5, "custom": {"temperature": 9, "top_k": 3}},
                "overlay": {"mode": "top", "style": {"size": 400, "colour": "url(x)", "lines": 4}}}"#,
        );
        assert_eq!(state.settings.theme, Theme::Dark);
        assert_eq!(state.settings.last_model, Some("/m".into()));
        assert_eq!(state.settings.generation.preset, Preset::Creative);
        assert_eq!(state.settings.generation.custom.top_k, Some(3));
        assert_eq!(state.settings.overlay.mode, OverlayMode::Top);
        assert_eq!(state.settings.overlay.style.lines, 4);
        let mut lost = state.salvage.expect("it was damaged").lost;
        lost.sort();
        assert_eq!(
            lost,
            [
                "close_to_tray",
                "generation.custom.temperature",
                "generation.max_tokens",
                "overlay.style.colour",
                "overlay.style.size",
                "text_size"
            ]
        );
        assert_eq!(files, ["settings.broken.json"]);
    }

    #[test]
    fn a_file_that_was_cut_short_keeps_its_beginning() {
        let (state, files) =
            load("{\"theme\": \"dark\", \"text_size\": \"large\", \"last_model\": \"/mod");
        assert_eq!(state.settings.theme, Theme::Dark);
        assert_eq!(state.settings.text_size, TextSize::Large);
        let lost = state.salvage.expect("it was damaged").lost;
        assert!(lost.contains(&"last_model".to_owned()), "{lost:?}");
        assert!(!lost.contains(&"theme".to_owned()), "{lost:?}");
        assert_eq!(files, ["settings.broken.json"]);
    }

    #[test]
    fn nonsense_leaves_the_defaults_and_is_kept_aside() {
        for text in ["", "\u{0}\u{0}", "[1, 2]", "{,,,}"] {
            let (state, files) = load(text);
            assert_eq!(state.settings, Settings::default(), "{text:?}");
            assert_eq!(files, ["settings.broken.json"], "{text:?}");
        }
    }

    #[test]
    fn fields_of_another_version_do_no_harm() {
        let (state, files) = load(r#"{"colour": "green", "theme": "light"}"#);
        assert_eq!(state.settings.theme, Theme::Light);
        assert_eq!(state.salvage, None);
        assert_eq!(files, ["settings.json"]);
    }

    #[test]
    fn works_without_a_place_to_write() {
        let file = SettingsFile::load(None);
        remember(&file, "/models/a");
        assert_eq!(file.get().last_model, Some("/models/a".into()));
    }

    #[test]
    fn a_disk_that_refuses_is_named_and_the_settings_hold() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let in_the_way = dir.path().join("file");
        fs::write(&in_the_way, "").expect("writes");
        let file = SettingsFile::load(Some(in_the_way.join("settings.json")));
        let error = file
            .update(|settings| settings.theme = Theme::Dark)
            .expect_err("a file is no folder");
        assert_eq!(error.code, ErrorCode::Storage);
        assert!(error.message.contains("settings.json"), "{error}");
        assert_eq!(file.get().theme, Theme::Dark);
    }

    #[test]
    fn a_question_takes_the_preset_unless_it_asks_for_something_itself() {
        let settings = |preset| GenerationSettings {
            preset,
            max_tokens: Some(9),
            ..GenerationSettings::default()
        };
        let balanced = settings(Preset::Balanced).complete(AskOptions::default());
        assert_eq!(balanced.temperature, None, "the model's own");
        assert_eq!(balanced.max_tokens, Some(9));
        let precise = settings(Preset::Precise).complete(AskOptions::default());
        assert_eq!(precise.temperature, Some(0.0));
        let own = AskOptions {
            temperature: Some(0.5),
            ..AskOptions::default()
        };
        let creative = settings(Preset::Creative).complete(own);
        assert_eq!(
            (creative.temperature, creative.top_k),
            (Some(0.5), Some(128))
        );
    }
}
