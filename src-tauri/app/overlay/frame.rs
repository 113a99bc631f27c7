//! Where the overlay stands on the screens of a desktop.

use api::{OverlayMode, OverlayPlace, OverlaySettings};

/// How wide it floats at first, in pixels of the page.
pub const WIDTH: u32 = 760;

/// Narrower than this no word fits.
pub const MIN_WIDTH: u32 = 240;

/// How far above the lower edge it floats at first, in pixels of the page.
const RISE: f64 = 48.0;

/// So much of it has to be on a screen to be caught again, in pixels of the page.
const CATCH: f64 = 48.0;

/// A screen without the bars of the desktop, in the desktop's pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Screen {
    pub x: i32,
    pub y: i32,
    pub width: u32,
    pub height: u32,
    /// The desktop's pixels for one of the page's.
    pub scale: f64,
}

/// Where the window stands, in the desktop's pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub x: i32,
    pub y: i32,
    pub width: u32,
    pub height: u32,
}

impl Frame {
    /// The same frame, moved as little as it takes to be caught on one of the screens.
    pub fn within_reach(self, screens: &[Screen]) -> Frame {
        let moves = screens.iter().map(|screen| {
            let catch = (CATCH * screen.scale).round() as i32;
            let right = screen.x.saturating_add_unsigned(screen.width);
            let bottom = screen.y.saturating_add_unsigned(screen.height);
            let slack = catch - self.width as i32;
            let x = between(self.x, screen.x + slack, right - catch);
            // All of its height: the controls are at its upper edge.
            let y = between(self.y, screen.y, bottom - self.height as i32);
            Frame { x, y, ..self }
        });
        moves
            .min_by_key(|moved| moved.x.abs_diff(self.x) as u64 + moved.y.abs_diff(self.y) as u64)
            .unwrap_or(self)
    }
}

/// Like `clamp`, for limits that may have crossed on a small screen.
fn between(value: i32, low: i32, high: i32) -> i32 {
    value.min(high).max(low)
}

/// Where the overlay belongs: `height` in pixels of the page, `home` the screen of the main window.
pub fn frame_of(overlay: &OverlaySettings, height: u32, screens: &[Screen], home: Screen) -> Frame {
    let pixels = |page: u32, screen: Screen| (f64::from(page) * screen.scale).round() as u32;
    if overlay.mode != OverlayMode::Floating {
        let height = pixels(height, home).min(home.height);
        let y = match overlay.mode {
            OverlayMode::Bottom => home.y.saturating_add_unsigned(home.height - height),
            _ => home.y,
        };
        return Frame {
            x: home.x,
            y,
            width: home.width,
            height,
        };
    }
    let place = overlay.place.unwrap_or_else(|| {
        let width = pixels(WIDTH, home).min(home.width);
        let rise = (RISE * home.scale).round() as i32 + pixels(height, home) as i32;
        OverlayPlace {
            x: home.x + (home.width - width) as i32 / 2,
            y: home.y.saturating_add_unsigned(home.height) - rise,
            width: WIDTH,
        }
    });
    let on = screen_at(place.x, place.y, screens).unwrap_or(home);
    let width = pixels(place.width.max(MIN_WIDTH), on).min(on.width);
    let frame = Frame {
        x: place.x,
        y: place.y,
        width,
        height: pixels(height, on),
    };
    frame.within_reach(screens)
}

fn screen_at(x: i32, y: i32, screens: &[Screen]) -> Option<Screen> {
    let has = |from: i32, length: u32, at: i32| {
        (from..from.saturating_add_unsigned(length)).contains(&at)
    };
    let mut found = screens.iter();
    found
        .find(|s| has(s.x, s.width, x) && has(s.y, s.height, y))
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Screen = Screen {
        x: -1600,
        y: 0,
        width: 1600,
        height: 900,
        scale: 1.0,
    };

    /// Of twice the resolution, with a bar of 60 at its top.
    const RIGHT: Screen = Screen {
        x: 0,
        y: 60,
        width: 2560,
        height: 1380,
        scale: 2.0,
    };

    fn frame(mode: OverlayMode, place: Option<(i32, i32, u32)>, home: Screen) -> Frame {
        let place = place.map(|(x, y, width)| OverlayPlace { x, y, width });
        let overlay = OverlaySettings {
            mode,
            place,
            ..OverlaySettings::default()
        };
        frame_of(&overlay, 100, &[LEFT, RIGHT], home)
    }

    #[track_caller]
    fn check(found: Frame, x: i32, y: i32, width: u32, height: u32) {
        let expected = Frame {
            x,
            y,
            width,
            height,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn docked_it_spans_the_screen_of_the_window() {
        check(frame(OverlayMode::Top, None, RIGHT), 0, 60, 2560, 200);
        check(frame(OverlayMode::Bottom, None, RIGHT), 0, 1240, 2560, 200);
        check(
            frame(OverlayMode::Bottom, None, LEFT),
            -1600,
            800,
            1600,
            100,
        );
    }

    #[test]
    fn it_floats_where_it_was_and_first_near_the_lower_edge() {
        let place = Some((-900, 300, 700));
        check(
            frame(OverlayMode::Floating, place, RIGHT),
            -900,
            300,
            700,
            100,
        );
        check(
            frame(OverlayMode::Floating, None, LEFT),
            -1180,
            752,
            760,
            100,
        );
    }

    #[test]
    fn it_comes_back_from_a_screen_that_is_gone() {
        let place = Some((9000, 9000, 700));
        let found = frame(OverlayMode::Floating, place, RIGHT);
        assert_eq!((found.x, found.y), (2560 - 96, 1440 - 200));
        let place = Some((-5000, -50, 100));
        let found = frame(OverlayMode::Floating, place, RIGHT);
        assert_eq!((found.x + 480, found.y), (-1600 + 48, 0));
    }
}
