"""The answer of the service ``~/imagine``: a real segment and its imagined twin, for people to look at."""

from __future__ import annotations

from builtin_interfaces.msg import Time

from worldsample_core.messages.conversions import synthetic_to_message
from worldsample_core.observation import InvalidObservation
from worldsample_msgs.srv import Imagine
from worldsample_worldmodel.running.imagined_twin import NothingToImagine, imagined_twin
from worldsample_worldmodel.running.worldmodel_loop import WorldModelLoop


def answer_imagine(
    loop: WorldModelLoop, request: Imagine.Request, response: Imagine.Response, stamp: Time
) -> Imagine.Response:
    """Imagine the segment that ``request`` names; the response says why where that is not possible."""
    try:
        twin = imagined_twin(
            loop.adaptation,
            int(request.episode),
            int(request.start_step),
            int(request.length),
            bool(request.counterfactual),
            int(request.seed),
        )
        response.real = synthetic_to_message(twin.real, stamp)
        response.imagined = synthetic_to_message(twin.imagined, stamp)
    except (NothingToImagine, InvalidObservation) as problem:
        response.message = str(problem)
        return response
    for part in (response.real, response.imagined):
        part.run, part.publisher = loop.run.name, loop.publisher
    response.psnr_side, response.psnr_wrist = (twin.psnr[:, view].tolist() for view in (0, 1))
    response.world_model_version = loop.adaptation.version
    response.success = True
    return response
