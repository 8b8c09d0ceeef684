// A microphone and a camera, where the browser has and allows them.

import { el } from "./dom.js";

const WANTED = { audio: { audio: true }, image: { video: true }, video: { video: true, audio: true } };
const WORDS = {
  audio: { start: "Record from the microphone", stop: "Stop recording" },
  image: { start: "Use the camera", stop: "Take the picture" },
  video: { start: "Record from the camera", stop: "Stop recording" },
};

export function canRecord(form) {
  const there = Boolean(navigator.mediaDevices?.getUserMedia);
  return there && form in WANTED && (form === "image" || "MediaRecorder" in window);
}

// Buttons that record, and what they show; `take` is called with a file, `tell` with what goes on.
export function recorder(form, label, take, tell) {
  const words = WORDS[form];
  const live = el("div", { className: "preview" });
  const start = el("button", { type: "button", "aria-label": `${words.start}: ${label}` }, words.start);
  const stop = el("button", { type: "button", hidden: true, "aria-label": `${words.stop}: ${label}` }, words.stop);
  let stream = null;

  async function begin() {
    try {
      stream = await navigator.mediaDevices.getUserMedia(WANTED[form]);
    } catch (error) {
      tell(`The browser gives no access: ${error.message || error.name}.`);
      return;
    }
    start.hidden = true;
    stop.hidden = false;
    stop.focus();
    if (form !== "audio") {
      const video = el("video", { muted: true, autoplay: true, playsInline: true, "aria-label": "What the camera sees" });
      video.srcObject = stream;
      live.replaceChildren(video);
    }
    tell(form === "image" ? "The camera is on." : "Recording …");
    if (form === "image") stop.onclick = () => picture(live.firstChild);
    else film();
  }

  function film() {
    const kept = [];
    const machine = new MediaRecorder(stream);
    machine.addEventListener("dataavailable", (event) => kept.push(event.data));
    machine.addEventListener("stop", () => done(new File(kept, "recording.webm", { type: machine.mimeType })));
    machine.start();
    stop.onclick = () => machine.stop();
  }

  function picture(video) {
    const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => done(new File([blob], "picture.png", { type: "image/png" })), "image/png");
  }

  function done(file) {
    stream.getTracks().forEach((track) => track.stop());
    live.replaceChildren();
    stop.hidden = true;
    start.hidden = false;
    start.focus();
    take(file);
  }

  start.addEventListener("click", begin);
  return { start, stop, live };
}
