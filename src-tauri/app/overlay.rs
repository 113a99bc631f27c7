//! The window of captions that floats over everything else.
//!
//! It is made when it is opened and gone when it is closed: a hidden page would keep its memory.

mod frame;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use api::{
    ApiError, ErrorCode, Language, OverlayChange, OverlayMode, OverlayPlace, OverlaySettings,
};
use serde::{Deserialize, Serialize};
use specta::Type;
use tauri::ipc::Channel;
use tauri::{
    AppHandle, LogicalSize, Manager, Monitor, PhysicalPosition, PhysicalSize, WebviewUrl,
    WebviewWindow, WebviewWindowBuilder, WindowEvent,
};

use crate::{Shell, session};
use frame::{Frame, MIN_WIDTH, Screen, frame_of};

pub const LABEL: &str = "overlay";

/// Until the page has said how high it is, in pixels of the page.
const FIRST_HEIGHT: u32 = 96;

/// How long it has to stay where it was moved to before that is written down.
const REST: Duration = Duration::from_millis(300);

/// The overlay as windows see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct OverlayView {
    pub is_open: bool,
    /// The mouse reaches what is behind it.
    pub click_through: bool,
    pub settings: OverlaySettings,
    /// Of the windows.
    pub language: Language,
    /// What the next captions are translated into, by code.
    pub translate: Option<String>,
    /// On some desktops no program says where its windows stand, or that one of them stays above the others.
    pub can_place: bool,
}

/// What the process knows of its overlay.
#[derive(Default)]
pub struct Overlay {
    /// Held while the window is made or goes, so that two who ask at once do not make two.
    making: Mutex<()>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By the label of their window.
    watchers: Vec<(String, Channel<OverlayView>)>,
    click_through: bool,
    /// In pixels of the page.
    height: Option<u32>,
    /// Counts the moves: the last one is written down.
    moves: u64,
    /// Where keys have moved it to while the window is still on its way.
    target: Option<PhysicalPosition<i32>>,
}

impl Overlay {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // It is whole at any time, so a panic elsewhere does not matter.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the window of this label how the overlay is, and what changes of it.
pub fn watch(app: &AppHandle, label: &str, events: Channel<OverlayView>) {
    if events.send(view(app)).is_ok() {
        let shell = app.state::<Shell>();
        let mut inner = shell.overlay.inner();
        // A page that was loaded anew.
        inner.watchers.retain(|(known, _)| known != label);
        inner.watchers.push((label.to_owned(), events));
    }
}

/// To every window that watches.
pub fn tell(app: &AppHandle) {
    let view = view(app);
    let shell = app.state::<Shell>();
    let told = |(_, events): &(String, Channel<OverlayView>)| events.send(view.clone()).is_ok();
    shell.overlay.inner().watchers.retain(told);
}

fn view(app: &AppHandle) -> OverlayView {
    let shell = app.state::<Shell>();
    let settings = shell.settings.get();
    OverlayView {
        is_open: window(app).is_some(),
        click_through: shell.overlay.inner().click_through,
        settings: settings.overlay,
        language: settings.language,
        translate: settings.captions.translate,
        can_place: !session::is_wayland(),
    }
}

fn window(app: &AppHandle) -> Option<WebviewWindow> {
    app.get_webview_window(LABEL)
}

/// Not to be called by the thread that draws the windows.
pub fn open(app: &AppHandle) -> Result<(), ApiError> {
    let shell = app.state::<Shell>();
    let _making = making(&shell.overlay);
    if window(app).is_some() {
        return Ok(());
    }
    make(app).map_err(could_not)?;
    tell(app);
    Ok(())
}

pub fn close(app: &AppHandle) -> Result<(), ApiError> {
    let shell = app.state::<Shell>();
    let _making = making(&shell.overlay);
    match window(app) {
        Some(window) => window.destroy().map_err(could_not),
        None => Ok(()),
    }
}

/// Opens or closes it, at leisure.
pub fn toggle(app: &AppHandle) {
    let app = app.clone();
    thread::spawn(move || {
        let done = match window(&app) {
            Some(_) => close(&app),
            None => open(&app),
        };
        if let Err(e) = done {
            eprintln!("sotto: {}", e.message);
        }
    });
}

fn making(overlay: &Overlay) -> MutexGuard<'_, ()> {
    overlay
        .making
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

fn could_not(error: tauri::Error) -> ApiError {
    let message = format!("The desktop did not let Sotto show the overlay ({error}).");
    ApiError::new(ErrorCode::Unsupported, message)
}

fn make(app: &AppHandle) -> tauri::Result<()> {
    let builder = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App("overlay.html".into()));
    builder
        .title("Sotto")
        .always_on_top(true)
        .visible_on_all_workspaces(true)
        .skip_taskbar(true)
        .decorations(false)
        .transparent(true)
        .shadow(false)
        // The keyboard stays with whoever has it.
        .focused(false)
        .accept_first_mouse(true)
        // Until its page knows how high it is.
        .visible(false)
        .inner_size(f64::from(MIN_WIDTH), f64::from(FIRST_HEIGHT))
        .build()?;
    Ok(())
}

/// What the window system says of the overlay's window.
pub fn on_event(app: &AppHandle, event: &WindowEvent) {
    match event {
        WindowEvent::Moved(_) | WindowEvent::Resized(_) => moved(app),
        WindowEvent::Destroyed => {
            let shell = app.state::<Shell>();
            let mut inner = shell.overlay.inner();
            inner.watchers.retain(|(label, _)| label != LABEL);
            inner.click_through = false;
            drop(inner);
            tell(app);
        }
        _ => {}
    }
}

/// Remembers where it floats, once it rests there.
fn moved(app: &AppHandle) {
    let app = app.clone();
    let count = {
        let shell = app.state::<Shell>();
        let mut inner = shell.overlay.inner();
        inner.moves += 1;
        inner.moves
    };
    thread::spawn(move || {
        thread::sleep(REST);
        let shell = app.state::<Shell>();
        let is_last = shell.overlay.inner().moves == count;
        let floats = shell.settings.get().overlay.mode == OverlayMode::Floating;
        let window = window(&app).filter(|window| window.is_visible().unwrap_or(false));
        let place = window.and_then(|window| place_of(&window));
        if is_last {
            shell.overlay.inner().target = None;
        }
        if let Some(place) = place.filter(|_| is_last && floats && !session::is_wayland()) {
            keep_place(&app, place);
        }
    });
}

fn place_of(window: &WebviewWindow) -> Option<OverlayPlace> {
    let scale = window.scale_factor().ok()?;
    let position = window.outer_position().ok()?;
    let width = window.inner_size().ok()?.width;
    Some(OverlayPlace {
        x: position.x,
        y: position.y,
        width: (f64::from(width) / scale).round() as u32,
    })
}

/// A disk that refuses it costs nothing but the place at the next start.
fn keep_place(app: &AppHandle, place: OverlayPlace) {
    let shell = app.state::<Shell>();
    let _ = shell
        .settings
        .update(|settings| settings.overlay.place = Some(place));
}

/// The page has found out how high its lines are, in pixels of the page.
pub fn resize(app: &AppHandle, height: u32) -> Result<(), ApiError> {
    let shell = app.state::<Shell>();
    shell.overlay.inner().height = Some(height);
    let Some(window) = window(app) else {
        return Ok(());
    };
    put(app, &window).map_err(could_not)?;
    if !window.is_visible().unwrap_or(false) {
        window.show().map_err(could_not)?;
        // Some window managers place a window when it appears.
        put(app, &window).map_err(could_not)?;
    }
    Ok(())
}

/// Moves the window to where it belongs.
fn put(app: &AppHandle, window: &WebviewWindow) -> tauri::Result<()> {
    let shell = app.state::<Shell>();
    let height = shell.overlay.inner().height.unwrap_or(FIRST_HEIGHT);
    let Some((screens, home)) = screens(app)? else {
        return Ok(());
    };
    let mut overlay = shell.settings.get().overlay;
    let target = shell.overlay.inner().target;
    if let (Some(target), Some(place)) = (target, place_of(window)) {
        // Keys have moved it, and that is not written down yet.
        overlay.place = Some(OverlayPlace {
            x: target.x,
            y: target.y,
            ..place
        });
    }
    stand(window, frame_of(&overlay, height, &screens, home))
}

/// The height is fixed, so that no word and no hand changes it.
fn stand(window: &WebviewWindow, frame: Frame) -> tauri::Result<()> {
    let scale = window.scale_factor()?;
    let height = f64::from(frame.height) / scale;
    window.set_min_size(None::<LogicalSize<f64>>)?;
    window.set_max_size(None::<LogicalSize<f64>>)?;
    window.set_size(PhysicalSize::new(frame.width, frame.height))?;
    window.set_position(PhysicalPosition::new(frame.x, frame.y))?;
    window.set_min_size(Some(LogicalSize::new(f64::from(MIN_WIDTH), height)))?;
    window.set_max_size(Some(LogicalSize::new(100_000.0, height)))
}

/// All screens, and the one that the main window is on. None on a desktop that does not tell.
fn screens(app: &AppHandle) -> tauri::Result<Option<(Vec<Screen>, Screen)>> {
    let screens: Vec<Screen> = app.available_monitors()?.iter().map(screen).collect();
    let main = app.get_webview_window("main");
    let home = main.and_then(|main| main.current_monitor().ok().flatten());
    let home = match home {
        Some(home) => Some(home),
        None => app.primary_monitor()?,
    };
    let home = home.as_ref().map(screen).or(screens.first().copied());
    Ok(home.map(|home| (screens, home)))
}

fn screen(monitor: &Monitor) -> Screen {
    let area = monitor.work_area();
    Screen {
        x: area.position.x,
        y: area.position.y,
        width: area.size.width,
        height: area.size.height,
        scale: monitor.scale_factor(),
    }
}

/// The change holds even if it could not be written, which is the error then.
pub fn change(app: &AppHandle, change: OverlayChange) -> Result<(), ApiError> {
    let shell = app.state::<Shell>();
    let written = shell
        .settings
        .update(|settings| settings.overlay.apply(change));
    if let Some(window) = window(app).filter(|window| window.is_visible().unwrap_or(false)) {
        put(app, &window).map_err(could_not)?;
    }
    tell(app);
    written
}

pub fn set_click_through(app: &AppHandle, on: bool) -> Result<(), ApiError> {
    let Some(window) = window(app) else {
        return Ok(());
    };
    window.set_ignore_cursor_events(on).map_err(could_not)?;
    app.state::<Shell>().overlay.inner().click_through = on;
    tell(app);
    Ok(())
}

pub fn toggle_click_through(app: &AppHandle) {
    let app = app.clone();
    thread::spawn(move || {
        let is_on = app.state::<Shell>().overlay.inner().click_through;
        if let Err(e) = set_click_through(&app, !is_on) {
            eprintln!("sotto: {}", e.message);
        }
    });
}

/// Moves it by so many pixels of the page; a docked one floats from then on.
pub fn shift(app: &AppHandle, right: i32, down: i32) -> Result<(), ApiError> {
    let Some(window) = window(app) else {
        return Ok(());
    };
    float(app, &window)?;
    let move_it = || -> tauri::Result<()> {
        let scale = window.scale_factor()?;
        let shell = app.state::<Shell>();
        let target = shell.overlay.inner().target;
        let position = target.map_or_else(|| window.outer_position(), Ok)?;
        let size = window.inner_size()?;
        let pixels = |page: i32| (f64::from(page) * scale).round() as i32;
        let frame = Frame {
            x: position.x + pixels(right),
            y: position.y + pixels(down),
            width: size.width,
            height: size.height,
        };
        let frame = match screens(app)? {
            Some((screens, _)) => frame.within_reach(&screens),
            None => frame,
        };
        let target = PhysicalPosition::new(frame.x, frame.y);
        shell.overlay.inner().target = Some(target);
        window.set_position(target)
    };
    move_it().map_err(could_not)
}

/// Begins to move it with the mouse whose button is down; a docked one floats from then on.
pub fn drag(app: &AppHandle) -> Result<(), ApiError> {
    let Some(window) = window(app) else {
        return Ok(());
    };
    float(app, &window)?;
    app.state::<Shell>().overlay.inner().target = None;
    window.start_dragging().map_err(could_not)
}

/// Lets a docked one go, from where it is.
fn float(app: &AppHandle, window: &WebviewWindow) -> Result<(), ApiError> {
    let shell = app.state::<Shell>();
    let overlay = shell.settings.get().overlay;
    if overlay.mode == OverlayMode::Floating {
        return Ok(());
    }
    if let Ok(position) = window.outer_position()
        && let Ok(size) = window.inner_size()
        && let Ok(scale) = window.scale_factor()
    {
        // As wide as it was when it floated last, in the middle of where it was docked.
        let width = overlay.place.map_or(frame::WIDTH, |place| place.width);
        let pixels = (f64::from(width) * scale).round() as i32;
        let x = position.x + (size.width as i32 - pixels) / 2;
        keep_place(
            app,
            OverlayPlace {
                x,
                y: position.y,
                width,
            },
        );
    }
    change(app, OverlayChange::Mode(OverlayMode::Floating))
}

/// Gives it the keyboard, for those who move it by keys.
pub fn focus(app: &AppHandle) -> Result<(), ApiError> {
    match window(app) {
        Some(window) => window.set_focus().map_err(could_not),
        None => Ok(()),
    }
}
