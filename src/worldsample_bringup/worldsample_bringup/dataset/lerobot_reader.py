"""Reads the episodes of a LeRobotDataset v3.0: columns from Parquet, pictures from PNG or from videos."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldsample_bringup.dataset import lerobot_format as fmt
from worldsample_bringup.dataset.lerobot_format import DatasetInfo
from worldsample_core.config import ConfigError

Columns = dict[str, NDArray[Any]]
MAX_FRAMES = 100_000
"""Largest length of one episode: nearly three hours at 10 Hz."""


def episode_rows(info: DatasetInfo) -> list[dict[str, Any]]:
    """The table of episodes, in order. Raises :class:`ConfigError` where it is missing or incomplete."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((info.root / "meta" / "episodes").glob("*/*.parquet"))
    rows: list[dict[str, Any]] = []
    try:
        for path in files:
            wanted = [name for name in pq.read_schema(path).names if not name.startswith("stats/")]
            rows += pq.read_table(path, columns=wanted).to_pylist()
        rows.sort(key=lambda row: int(row["episode_index"]))
        numbers = [int(row["episode_index"]) for row in rows]
        lengths = [int(row["length"]) for row in rows]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{info.root}/meta/episodes cannot be read: {error}") from error
    if numbers != list(range(info.episodes)) or sum(lengths) != info.frames:
        raise ConfigError(
            f"{info.root}/meta/episodes has {len(rows)} episodes with {sum(lengths)} frames, {fmt.INFO} says "
            f"{info.episodes} with {info.frames}: the dataset is incomplete"
        )
    if max(lengths) > MAX_FRAMES:
        raise ConfigError(f"{info.root} has an episode of {max(lengths)} frames; {MAX_FRAMES} are understood")
    return rows


def read_columns(info: DatasetInfo, row: dict[str, Any]) -> Columns:
    """The numbers of one episode: ``(T,)`` or ``(T, n)`` of each feature that is no picture.

    Raises:
        ConfigError: a file is missing or damaged, or an episode is not whole.
    """
    table = _episode_table(info, row)
    columns: Columns = {}
    for name, feature in info.features.items():
        if feature["dtype"] in ("image", "video") or name not in table.column_names:
            continue
        if feature["dtype"] in ("string", "language") or len(feature["shape"]) != 1:
            continue
        values = np.asarray(table.column(name).to_pylist())
        shape = (len(values),) if feature["shape"] == [1] else (len(values), *feature["shape"])
        if values.size != int(np.prod(shape)) or not np.isfinite(values.astype(np.float64)).all():
            raise ConfigError(f"{_where(info, row)}: {name} has values that are missing or not finite")
        columns[name] = values.reshape(shape)
    return columns


def read_pictures(info: DatasetInfo, row: dict[str, Any], camera: str) -> Iterator[NDArray[np.uint8]]:
    """The frames of one camera in one episode, each ``(H, W, 3) uint8`` rgb.

    Raises:
        ConfigError: a file is missing or damaged, or a frame is not there.
    """
    if info.features[camera]["dtype"] == "video":
        yield from _video_frames(info, row, camera)
        return
    for picture in _episode_table(info, row, [camera]).column(camera).to_pylist():
        yield _decode(info, row, camera, picture)


def _where(info: DatasetInfo, row: dict[str, Any]) -> str:
    return f"{info.root}, episode {row['episode_index']}"


def _episode_table(info: DatasetInfo, row: dict[str, Any], cameras: list[str] | None = None) -> Any:
    """Rows of one episode, in order: all columns but the pictures, or the ones named."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = info.file(
        info.data_path, chunk_index=int(row["data/chunk_index"]), file_index=int(row["data/file_index"])
    )
    number, length = int(row["episode_index"]), int(row["length"])
    try:
        names = pq.read_schema(path).names
        wanted = cameras or [name for name in names if name not in info.cameras]
        wanted = [*wanted, *(name for name in ("episode_index", "frame_index") if name not in wanted)]
        table = pq.read_table(path, columns=wanted, filters=[("episode_index", "=", number)])
        table = table.sort_by([("frame_index", "ascending")])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if table.num_rows != length:
        raise ConfigError(f"{_where(info, row)} has {table.num_rows} frames in {path.name}, not {length}")
    return table


def _decode(info: DatasetInfo, row: dict[str, Any], camera: str, picture: Any) -> NDArray[np.uint8]:
    """One stored picture: its bytes, or the file that it names inside the dataset."""
    height, width = _size(info, camera)
    try:
        data = picture.get("bytes")
        if data is None:
            data = info.file("{path}", path=picture["path"]).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            if image.size != (width, height):
                raise ValueError(f"it is {image.width}x{image.height}, not {width}x{height}")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigError(f"{_where(info, row)}: a picture of {camera} cannot be read: {error}") from error


def _size(info: DatasetInfo, camera: str) -> tuple[int, int]:
    """(height, width) of a camera's pictures, whether channels stand first or last."""
    shape = info.features[camera]["shape"]
    if len(shape) != 3 or 3 not in (shape[0], shape[2]):
        raise ConfigError(f"the pictures of {camera} have shape {shape}, not (height, width, 3)")
    return (shape[0], shape[1]) if shape[2] == 3 else (shape[1], shape[2])


def _video_frames(info: DatasetInfo, row: dict[str, Any], camera: str) -> Iterator[NDArray[np.uint8]]:
    """The frames whose times are those of the episode, of a video that holds several episodes."""
    import av

    place = {key: int(row[f"videos/{camera}/{key}"]) for key in ("chunk_index", "file_index")}
    path = info.file(info.video_path, video_key=camera, **place)
    begins, size = float(row[f"videos/{camera}/from_timestamp"]), _size(info, camera)
    times = begins + np.arange(int(row["length"])) / info.fps
    found = 0
    try:
        with av.open(str(path)) as video:
            stream = video.streams.video[0]
            video.seek(int(begins / (stream.time_base or 1)), stream=stream)  # to the key frame before it
            for frame in video.decode(stream):
                if frame.time is None or frame.time < times[found] - 0.5 / info.fps:
                    continue
                if frame.time > times[found] + 0.5 / info.fps or (frame.height, frame.width) != size:
                    break
                yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
                found += 1
                if found == len(times):
                    return
    except (OSError, ValueError, IndexError, av.FFmpegError) as error:
        raise ConfigError(f"{path} cannot be decoded: {error}") from error
    raise ConfigError(
        f"{_where(info, row)}: {path} has no frame of {size[1]}x{size[0]} at {times[found]:.2f} s"
    )


def origin_files(root: Path) -> bool:
    """True for a dataset that was exported from a run: each episode's last observation is there, too."""
    return (root / fmt.ORIGIN).is_file() and (root / fmt.FINAL_OBSERVATIONS).is_file()
