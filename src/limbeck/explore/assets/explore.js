// What Dash has no property for: accessible names and states, the address, saving figures, copying.
window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.limbeck = {
  settle: function (view, ...messages) {
    const sliders = document.querySelectorAll("input[type=range]");
    sliders.forEach((slider, i) => {
      const field = document.getElementById(slider.id.replace(/-slider$/, ""));
      const wrong = Boolean(messages[i]);
      field.setAttribute("aria-invalid", String(wrong));
      field.setAttribute("aria-describedby", field.id + "-message " + field.id + "-meaning");
      slider.setAttribute("aria-labelledby", field.id + "-label");
      if (!wrong) slider.setAttribute("aria-valuetext", field.value);
    });
    if (view && location.search !== view) history.replaceState(history.state, "", view);
    return window.dash_clientside.no_update;
  },
};

document.addEventListener("click", function (event) {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.id === "copy") {
    const text = document.getElementById("share");
    text.select();
    document.execCommand("copy");
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
  if (button.className === "save") {
    const plot = document.querySelector("#" + button.dataset.panel + "-figure .js-plotly-plot");
    const size = { width: 760, height: 520, scale: button.dataset.kind === "png" ? 2 : 1 };
    Plotly.downloadImage(plot, { format: button.dataset.kind, filename: "limbeck-" + button.dataset.panel, ...size });
  }
});
