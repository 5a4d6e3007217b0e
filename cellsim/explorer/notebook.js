// The page within a notebook's widget: what it shows is in a frame of its own, and the plan that it is moved to is told to Python.
export default {
  render({ model, el }) {
    const frame = document.createElement("iframe");
    frame.title = model.get("title");
    frame.style.cssText = "width: 100%; height: 900px; border: 0";
    frame.srcdoc = model.get("html");
    const heard = ({ source, data }) => {
      if (source !== frame.contentWindow || !Array.isArray(data?.cellsimDoses)) return;
      model.set("doses", data.cellsimDoses);
      model.save_changes();
    };
    addEventListener("message", heard);
    el.append(frame);
    return () => removeEventListener("message", heard);
  },
};
