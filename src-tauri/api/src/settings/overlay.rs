//! What the user has chosen for captions and for the window that floats over everything else.

use serde::{Deserialize, Deserializer, Serialize, de};
use specta::Type;

use crate::types::Number;

/// What captions are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct CaptionChoices {
    pub source: LiveSource,
    /// What is spoken, by code; the model finds out without it.
    pub language: Option<String>,
    pub translate: Option<String>,
    pub keep_sound: bool,
}

impl Default for CaptionChoices {
    fn default() -> Self {
        Self {
            source: LiveSource::default(),
            language: None,
            translate: None,
            keep_sound: true,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum LiveSource {
    #[default]
    Microphone,
    System,
    Both,
}

/// The overlay: where it is, and how it looks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Type)]
pub struct OverlaySettings {
    pub mode: OverlayMode,
    pub shown: OverlayText,
    pub style: CaptionStyle,
    /// Where it floated last; without it near the lower edge of the screen.
    pub place: Option<OverlayPlace>,
}

/// One thing of the overlay that the user changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "setting", content = "value", rename_all = "snake_case")]
pub enum OverlayChange {
    Mode(OverlayMode),
    Shown(OverlayText),
    Style(CaptionStyle),
}

impl OverlaySettings {
    pub fn apply(&mut self, change: OverlayChange) {
        match change {
            OverlayChange::Mode(mode) => self.mode = mode,
            OverlayChange::Shown(shown) => self.shown = shown,
            OverlayChange::Style(style) => self.style = style,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum OverlayMode {
    Top,
    Bottom,
    #[default]
    Floating,
}

/// What is read in the overlay. Without a translation it is always the source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum OverlayText {
    Source,
    Translation,
    // Each in lines of its own.
    #[default]
    Both,
}

/// The upper left corner in the pixels of the desktop, and the width in pixels of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct OverlayPlace {
    pub x: i32,
    pub y: i32,
    pub width: u32,
}

/// How captions look in the overlay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct CaptionStyle {
    /// Of the letters, in pixels of the page.
    #[serde(deserialize_with = "within::<14, 96, _>")]
    #[specta(type = Number)]
    pub size: u32,
    pub weight: TextWeight,
    /// Red, green and blue, as in `#ffcc00`.
    #[serde(deserialize_with = "colour")]
    #[specta(type = String)]
    pub colour: String,
    pub edge: TextEdge,
    #[serde(deserialize_with = "colour")]
    #[specta(type = String)]
    pub background: String,
    /// Of the background, in percent.
    #[serde(deserialize_with = "within::<0, 100, _>")]
    #[specta(type = Number)]
    pub opacity: u32,
    /// Of each language.
    #[serde(deserialize_with = "within::<1, 6, _>")]
    #[specta(type = Number)]
    pub lines: u32,
    /// The longest line, in characters of average width.
    #[serde(deserialize_with = "within::<32, 80, _>")]
    #[specta(type = Number)]
    pub line_width: u32,
    /// From line to line, in percent of the size.
    #[serde(deserialize_with = "within::<100, 200, _>")]
    #[specta(type = Number)]
    pub spacing: u32,
    pub alignment: TextAlignment,
    /// Seconds without a new word after which the overlay fades; 0 keeps it.
    #[serde(deserialize_with = "within::<0, 600, _>")]
    #[specta(type = Number)]
    pub fade_s: u32,
    /// Says who speaks, where there are two channels.
    pub speaker: bool,
}

impl Default for CaptionStyle {
    fn default() -> Self {
        Self {
            size: 28,
            weight: TextWeight::Medium,
            colour: "#ffffff".into(),
            edge: TextEdge::None,
            background: "#000000".into(),
            // Legible over any picture: at 75 % white on black keeps 4.5:1 over pure white.
            opacity: 80,
            lines: 2,
            line_width: 60,
            spacing: 135,
            alignment: TextAlignment::Start,
            fade_s: 20,
            speaker: true,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum TextWeight {
    Normal,
    #[default]
    Medium,
    Bold,
}

/// What lifts the letters off a picture behind them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum TextEdge {
    #[default]
    None,
    Outline,
    Shadow,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum TextAlignment {
    #[default]
    Start,
    Center,
    End,
}

/// Keys that reach Sotto while another window has the keyboard, such as `Ctrl+Shift+F9`; none is a shortcut given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct GlobalShortcuts {
    pub toggle_captions: Option<String>,
    pub toggle_overlay: Option<String>,
    pub toggle_click_through: Option<String>,
}

impl Default for GlobalShortcuts {
    fn default() -> Self {
        // Not Ctrl+Alt: that writes letters on many keyboards, and changes the console with function keys on Linux.
        Self {
            toggle_captions: Some("Ctrl+Shift+F9".into()),
            toggle_overlay: Some("Ctrl+Shift+F10".into()),
            toggle_click_through: Some("Ctrl+Shift+F11".into()),
        }
    }
}

fn within<'de, const LOW: u32, const HIGH: u32, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<u32, D::Error> {
    let value = u32::deserialize(deserializer)?;
    if (LOW..=HIGH).contains(&value) {
        Ok(value)
    } else {
        Err(de::Error::custom(format!("is not from {LOW} to {HIGH}")))
    }
}

/// Red, green and blue as in `#ffcc00`.
fn colour<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = String::deserialize(deserializer)?;
    let digits = value.strip_prefix('#').unwrap_or_default();
    if digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(value)
    } else {
        Err(de::Error::custom("is no colour such as #ffcc00"))
    }
}
